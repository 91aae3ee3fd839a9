package web

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// patient is the body of a request, whose client may not be silent for long.
type patient struct {
	io.ReadCloser
	pace
	ended bool
}

// errBroken is that of a body that does not come to its end. It is none that readers take for the end.
var errBroken = errors.New("the request broke off")

// Read is that of io.Reader. Its errors answer the request, but for io.EOF.
func (p *patient) Read(b []byte) (int, error) {
	if err := p.begin(); err != nil {
		return 0, failure{http.StatusRequestTimeout, p.failed(err)}
	}
	n, err := p.ReadCloser.Read(b)
	p.end(n)
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		p.ended = true
		_ = p.conn.SetReadDeadline(time.Time{}) // the next request has its own
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, failure{http.StatusRequestTimeout, p.failed(err)}
	case errors.As(err, &tooLarge):
		return n, failure{http.StatusRequestEntityTooLarge, err}
	}
	return n, failf(http.StatusBadRequest, "%w: %v", errBroken, err)
}

// restMax is how long what is left of a body holds up an answer that does not need it.
const restMax = time.Second

// leave is for what is left of the body, some of which net/http reads before it sends the answer: of a client that is
// sending, so that it is not cut off before it reads, but not of one that stands still and may wait for the answer.
func (p *patient) leave() {
	if !p.ended && p.ReadCloser != http.NoBody {
		_ = p.conn.SetReadDeadline(time.Now().Add(min(p.patience, restMax))) // as above
	}
}

// watched is where an answer is written, to a client that may not stop reading for long.
type watched struct {
	http.ResponseWriter
	patience time.Duration
	status   int
	bytes    int64
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader is that of http.ResponseWriter.
func (w *watched) WriteHeader(status int) {
	if status >= http.StatusOK && w.status == 0 {
		w.status = status
	}
	w.extend()
	w.ResponseWriter.WriteHeader(status)
}

// piece is how much is written at a time: a client that reads so much within its patience is not slow.
const piece = 64 << 10

// Write is that of io.Writer.
func (w *watched) Write(p []byte) (n int, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	for {
		w.extend()
		part := p[n:min(n+piece, len(p))]
		m, err := w.ResponseWriter.Write(part)
		n += m
		w.bytes += int64(m)
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

func (w *watched) extend() {
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.patience)) // as above
}
