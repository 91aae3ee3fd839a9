package play

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"viewring/client"
	"viewring/client/bulk"
)

const (
	loaders = 16
	readers = 4
	// readPace keeps the readers from taking the machine from the loading.
	readPace = 2 * time.Millisecond
)

// treeLoad loads a folder in the background while reading back, at random, what
// it has loaded.
type treeLoad struct {
	files []bulk.File
	began time.Time
	took  time.Duration

	stop    context.CancelFunc
	loading sync.WaitGroup
	reading sync.WaitGroup
	done    chan struct{} // all files are loaded, or failed
	bytes   atomic.Int64
	checked atomic.Int64

	mu       sync.Mutex
	stored   []bulk.File
	failed   []bulk.Problem
	wrong    []bulk.Problem
	progress chan struct{} // closed and replaced with each file
}

func startLoad(ctx context.Context, c *client.Client, files []bulk.File) *treeLoad {
	ctx, stop := context.WithCancel(ctx)
	t := &treeLoad{files: files, began: time.Now(), stop: stop, done: make(chan struct{}), progress: make(chan struct{})}
	t.loading.Go(func() {
		t.failed = bulk.Load(ctx, c, files, bulk.Options{Workers: loaders, Timeout: requestPatience, Done: t.loaded})
		t.took = time.Since(t.began)
		close(t.done)
	})
	for i := range readers {
		t.reading.Go(func() { t.read(ctx, c, rand.New(rand.NewPCG(uint64(i), 3))) })
	}
	return t
}

func (t *treeLoad) loaded(f bulk.File, failed error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if failed == nil {
		t.stored = append(t.stored, f)
		t.bytes.Add(f.Size)
	}
	close(t.progress)
	t.progress = make(chan struct{})
}

// read checks files already loaded, at random.
func (t *treeLoad) read(ctx context.Context, c *client.Client, random *rand.Rand) {
	tick := time.NewTicker(readPace * readers)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if f, ok := t.pick(random); ok {
			rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestPatience)
			p := bulk.Check(rctx, c, f)
			cancel()
			t.checked.Add(1)
			if p != nil {
				t.mu.Lock()
				t.wrong = append(t.wrong, *p)
				t.mu.Unlock()
			}
		}
	}
}

func (t *treeLoad) pick(random *rand.Rand) (bulk.File, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.stored) == 0 {
		return bulk.File{}, false
	}
	return t.stored[random.IntN(len(t.stored))], true
}

// wait waits until so many percent of the files are loaded.
func (t *treeLoad) wait(ctx context.Context, percent int) error {
	for {
		t.mu.Lock()
		n, progress := len(t.stored), t.progress
		t.mu.Unlock()
		if n*100 >= percent*len(t.files) {
			return nil
		}
		select {
		case <-progress:
		case <-t.done:
			if t.mu.Lock(); len(t.stored)*100 < percent*len(t.files) {
				defer t.mu.Unlock()
				return fmt.Errorf("only %d of %d files could be loaded: %v", len(t.stored), len(t.files), t.failed)
			}
			t.mu.Unlock()
		case <-ctx.Done():
			return fmt.Errorf("wait for %d%% of the files: %w", percent, context.Cause(ctx))
		}
	}
}

// finish waits for the end of the loading and stops the reading.
func (t *treeLoad) finish() {
	t.loading.Wait()
	t.stop()
	t.reading.Wait()
}

// abort ends both at once.
func (t *treeLoad) abort() {
	t.stop()
	t.loading.Wait()
	t.reading.Wait()
}
