package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
)

// Writer is a file that is being written, from its beginning to its end. It is put in place at one instant, by
// Close; until then, and after Abort, the old one is there. One goroutine may use it.
type Writer struct {
	to     *io.PipeWriter
	cancel context.CancelFunc
	done   chan struct{} // closed once info and err are there

	once sync.Once
	info Info
	err  error
}

// errAborted is why a Writer's put fails that was given up.
var errAborted = errors.New("the write was given up")

// Create begins to write the file at a path. The context is that of all that is done with it, to its Close. That the path
// can't be written is told by a Write, or by Close. Close or Abort it.
func (f *FS) Create(ctx context.Context, path string, opts PutOptions) *Writer {
	ctx, cancel := context.WithCancel(ctx)
	from, to := io.Pipe()
	w := &Writer{to: to, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		defer cancel()
		w.info, w.err = f.Put(ctx, path, from, opts)
		err := w.err
		if err == nil {
			err = fs.ErrClosed
		}
		_ = from.CloseWithError(err) // it returns nil
	}()
	return w
}

// Write is that of io.Writer. What it returns of an error is why the file can't be written: nothing is changed then.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if errors.Is(err, io.ErrClosedPipe) {
		if <-w.done; w.err != nil {
			err = w.err
		}
	}
	return n, err
}

// Close puts the file in place, and says why not where it could not. See Put about client.ErrUnknownOutcome. Another
// Close is fs.ErrClosed, as io/fs has it.
func (w *Writer) Close() error {
	err := fs.ErrClosed
	w.once.Do(func() {
		_ = w.to.Close()
		<-w.done
		err = w.err
	})
	return err
}

// Abort gives the file up: what is there stays. After Close it does nothing, so that it may be deferred.
func (w *Writer) Abort() {
	w.once.Do(func() {
		_ = w.to.CloseWithError(errAborted)
		w.cancel()
		<-w.done
	})
}

// Info is what Put returns, once Close has returned nil.
func (w *Writer) Info() Info { return w.info }
