package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"strconv"
	"time"

	"viewring/internal/wire"
)

// How a run ends and begins.
const (
	fillPipeline = 32               // sets under way on each connection while keys are filled in
	lastWait     = 10 * time.Second // for the replies that are owed when the time is over
	waitMillis   = "10000"          // bounds a WAIT
)

var errNoValue = errors.New("a key that was set has no value")

// worker is one connection.
type worker struct {
	opts   *Options
	conn   net.Conn
	reader *wire.Reader
	random *mathrand.Rand
	keys   [][]byte // that it asks for
	own    [][]byte // the part of them that it fills in
	value  []byte
	client [16]byte
	number uint64 // of the last request id

	took   []time.Duration
	errors int
	first  error // of the errors
	broken bool  // the connection can't be used any more

	command, request []byte // reused
	gets             []bool // of the pipeline under way, which are gets
}

func dial(ctx context.Context, s share, o *Options) (*worker, error) {
	dial := o.Dialer
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	w := &worker{opts: o, conn: conn, reader: wire.NewReader(conn, wire.DefaultLimits), keys: s.keys, value: make([]byte, o.ValueSize),
		random: mathrand.New(mathrand.NewPCG(mathrand.Uint64(), 0))}
	_, _ = rand.Read(w.client[:]) // never fails
	_, _ = rand.Read(w.value)     // that no compression shortens
	return w, nil
}

// fill sets the worker's own keys.
func (w *worker) fill(ctx context.Context) {
	defer w.bound(ctx, time.Now().Add(time.Hour))()
	for keys := w.own; len(keys) > 0 && !w.broken; {
		n := min(len(keys), fillPipeline)
		w.command, w.gets = w.command[:0], w.gets[:0]
		for _, key := range keys[:n] {
			w.addSet(key)
		}
		w.exchange()
		keys = keys[n:]
	}
}

// run makes requests, of which so many percent are reads, until the time is over.
func (w *worker) run(ctx context.Context, reads int, until time.Time) {
	defer w.bound(ctx, until.Add(lastWait))()
	w.took, w.errors = w.took[:0], 0
	for now := time.Now(); now.Before(until) && !w.broken; {
		w.command, w.gets = w.command[:0], w.gets[:0]
		for range w.opts.Pipeline {
			key := w.keys[w.random.IntN(len(w.keys))]
			if reads == 100 || reads > 0 && w.random.IntN(100) < reads {
				w.addGet(key)
			} else {
				w.addSet(key)
			}
		}
		done := w.exchange()
		then := time.Now()
		for range done {
			w.took = append(w.took, then.Sub(now))
		}
		now = then
	}
}

// bound ends what the connection waits for with ctx, or at that time.
func (w *worker) bound(ctx context.Context, at time.Time) (stop func()) {
	_ = w.conn.SetDeadline(at)                                                   // an error shows in what follows
	off := context.AfterFunc(ctx, func() { _ = w.conn.SetDeadline(time.Now()) }) // a closed one needs none
	return func() { off() }
}

func (w *worker) addGet(key []byte) {
	w.command = wire.AppendCommand(w.command, []byte("GET"), key)
	w.gets = append(w.gets, true)
}

func (w *worker) addSet(key []byte) {
	w.gets = append(w.gets, false)
	if !w.opts.ExactlyOnce {
		w.command = wire.AppendCommand(w.command, []byte("SET"), key, w.value)
		return
	}
	w.number++
	mark := w.number - min(w.number, uint64(len(w.gets))) // what is ahead of it in the pipeline has no answer yet
	w.request = wire.AppendDoRequest(w.request[:0], &wire.DoRequest{Op: wire.DoSet, Key: key, Value: w.value,
		Client: w.client, Number: w.number, Mark: mark, Born: time.Now().UnixMilli()})
	w.command = wire.AppendCommand(w.command, []byte(wire.CmdDo), w.request)
}

// exchange sends the pipeline in one write and returns how many of its requests
// were answered well.
func (w *worker) exchange() (done int) {
	sets := 0
	for _, get := range w.gets {
		if !get {
			sets++
		}
	}
	waits := w.opts.Wait > 0 && sets > 0
	if waits {
		w.command = wire.AppendCommand(w.command, []byte("WAIT"), strconv.AppendInt(nil, int64(w.opts.Wait), 10), []byte(waitMillis))
	}
	if _, err := w.conn.Write(w.command); err != nil {
		w.breaks(err)
		return 0
	}
	for _, get := range w.gets {
		if w.read(get) {
			done++
		}
	}
	if waits && !w.broken && !w.copied() {
		return done - min(done, sets)
	}
	return done
}

// read takes a reply and reports whether it is a good one.
func (w *worker) read(get bool) bool {
	if w.broken {
		return false
	}
	v, err := w.reader.ReadValue()
	if err != nil {
		w.breaks(err)
		return false
	}
	if err = v.Err(); err == nil && get && v.IsNil() {
		err = errNoValue
	}
	if err != nil {
		w.fails(err)
	}
	return err == nil
}

// copied takes the reply to WAIT.
func (w *worker) copied() bool {
	v, err := w.reader.ReadValue()
	switch {
	case err != nil:
		w.breaks(err)
	case v.Kind != wire.KindInt || v.Int < int64(w.opts.Wait):
		err = fmt.Errorf("WAIT: %d replicas instead of %d, %w", v.Int, w.opts.Wait, errors.Join(v.Err()))
		w.fails(err)
	}
	return err == nil
}

func (w *worker) fails(err error) {
	w.errors++
	if w.first == nil {
		w.first = err
	}
}

func (w *worker) breaks(err error) {
	w.broken = true
	w.fails(err)
}
