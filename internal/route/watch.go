package route

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

// Bounds and intervals of a watch.
const (
	toldBytesMax  = 4 << 20 // that wait to be taken: beyond that servers are told to stop until there are none
	toldBytes     = 128     // about what a Told takes, besides names and values
	watchPauseMin = 10 * time.Millisecond
	watchPauseMax = time.Second
	watchAnswerIn = 10 * time.Second       // that a server has for the answer to CmdWatch
	watchDoubt    = 300 * time.Millisecond // without a beginning, until it is asked whether there can be one
	watchIdle     = 1000 * time.Second     // nothing is due
)

// Position is a version in the log of a partition.
type Position struct{ Term, Seq uint64 }

// WatchSpec says what to watch: a key, or all keys of a space whose names have a prefix.
type WatchSpec struct {
	Space  byte
	Prefix bool
	Alone  bool // with Prefix: only in the partition of Slot
	Name   string
	Slot   uint16 // of the key, or with Alone of all keys
	Values bool

	// From is where to begin in each partition. Those that are not in it begin now.
	From map[ring.PartitionID]Position
}

// many reports whether all partitions are concerned.
func (s *WatchSpec) many() bool { return s.Prefix && !s.Alone }

// Told is what a partition's primary tells, TellEnded excepted.
type Told struct {
	Partition ring.PartitionID
	wire.Told
}

func (t *Told) size() int {
	n := toldBytes
	for i := range t.Changes {
		n += toldBytes + len(t.Changes[i].Name) + len(t.Changes[i].Value)
	}
	return n
}

// Watch is told of changes, in each partition in the order of its commits, over all changes of
// primaries. One goroutine takes what it is told; any may close it.
type Watch struct {
	c     *Client
	name  string // for errors
	spec  WatchSpec
	ctx   context.Context // of all that it does
	stop  context.CancelFunc
	stir  chan struct{} // capacity 1: some part needs a look
	some  chan struct{} // capacity 1: there is something to take
	begun chan struct{} // closed when all parts have begun

	partitions int // of the cluster

	mu struct {
		sync.Mutex
		parts   []*watchPart
		queue   []Told
		bytes   int
		full    bool  // nobody tells anything until the queue was taken
		pending int   // parts that have not begun
		last    error // why one of them has not
	}
}

// watchPart is a Watch in one partition. The Watch's mu guards it.
type watchPart struct {
	w      *Watch
	id     ring.PartitionID
	at     Position // it was told all up to here
	from   bool     // at counts; else it begins now
	began  Position // the first that it was told
	begun  bool
	asking string // the server that is being asked; "": none
	tries  uint64 // numbers what is asked: an answer to an earlier one counts for nothing

	conn    *watchConn // nil: nobody tells it anything
	number  uint64     // its name on the connection
	retryAt time.Time
	pause   time.Duration
}

// Watch watches, and returns when all partitions concerned have begun to tell: what is read
// from then on, or told, leaves nothing out. name is for errors.
func (c *Client) Watch(ctx context.Context, name string, spec WatchSpec) (*Watch, error) {
	run, stop := context.WithCancel(c.running)
	w := &Watch{c: c, name: name, spec: spec, ctx: run, stop: stop,
		stir: make(chan struct{}, 1), some: make(chan struct{}, 1), begun: make(chan struct{}), partitions: len(c.View().Partitions)}
	add := func(p ring.PartitionID) {
		part := &watchPart{w: w, id: p, pause: watchPauseMin}
		part.at, part.from = spec.From[p], hasPosition(spec.From, p)
		w.mu.parts = append(w.mu.parts, part)
	}
	if spec.many() {
		for p := range w.partitions {
			add(ring.PartitionID(p))
		}
	} else {
		add(ring.PartitionOf(spec.Slot, w.partitions))
	}
	w.mu.pending = len(w.mu.parts)
	c.ended.Go(w.run)
	if err := w.await(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// beginnings are where the parts have begun.
func (w *Watch) beginnings() map[ring.PartitionID]Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := make(map[ring.PartitionID]Position, len(w.mu.parts))
	for _, p := range w.mu.parts {
		at[p.id] = p.began
	}
	return at
}

func hasPosition(from map[ring.PartitionID]Position, p ring.PartitionID) bool {
	_, ok := from[p]
	return ok
}

// await waits until all parts have begun, or one of them can't.
func (w *Watch) await(ctx context.Context) error {
	doubt := time.NewTicker(watchDoubt)
	defer doubt.Stop()
	for {
		select {
		case <-w.begun:
			return nil
		case <-w.ctx.Done():
			return &Error{Op: w.name, Kind: ErrClosed}
		case <-ctx.Done():
			last := w.lastError()
			k := ErrUnreachable
			if last != nil {
				k = kind(last)
			}
			return &Error{Op: w.name, Kind: k, Last: last, Ended: endedUnanswered(ctx, k)}
		case <-doubt.C:
			if why := w.hopeless(ctx); why != nil {
				return &Error{Op: w.name, Kind: kind(why), Last: why}
			}
		}
	}
}

func (w *Watch) lastError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.last
}

// hopeless says why a part can't begin: a server refuses it for what it is; or before another server
// returns, if somebody alive agrees.
func (w *Watch) hopeless(ctx context.Context) error {
	if last := w.lastError(); last != nil {
		if k := kind(last); k == ErrTooLarge || k == ErrRefused {
			return last
		}
	}
	if w.c.opts.Persist {
		return nil
	}
	s := w.c.views.current.Load()
	w.mu.Lock()
	var why error
	for _, p := range w.mu.parts {
		if !p.begun && s.view.Unserved(p.id) {
			why = &wire.ServerError{Code: wire.CodeUnavailable, Message: s.view.WhyUnserved(p.id)}
			break
		}
	}
	w.mu.Unlock()
	if why == nil || !w.c.confirmed(ctx, s) {
		return nil
	}
	return why
}

// Close ends the watch. Next fails with ErrClosed once all that it was told is taken.
func (w *Watch) Close() {
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.mu.parts {
		p.leave()
	}
}

// Next returns what was told next, and waits for it. Names and values are the caller's.
func (w *Watch) Next(ctx context.Context) (Told, error) {
	for {
		if t, ok := w.take(); ok {
			return t, nil
		}
		select {
		case <-w.some:
		case <-w.ctx.Done():
			if t, ok := w.take(); ok {
				return t, nil
			}
			return Told{}, &Error{Op: w.name, Kind: ErrClosed}
		case <-ctx.Done():
			return Told{}, ctx.Err()
		}
	}
}

// Events yields what next returns until ctx ends, or next fails for another reason.
func Events[E any](ctx context.Context, next func(context.Context) (E, error)) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		for {
			e, err := next(ctx)
			if err != nil && ctx.Err() != nil {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Try returns what was told next, if something was.
func (w *Watch) Try() (Told, bool) { return w.take() }

func (w *Watch) take() (Told, bool) { return w.takeIf(func(*Told) bool { return true }) }

func (w *Watch) takeIf(wanted func(*Told) bool) (Told, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.mu.queue) == 0 || !wanted(&w.mu.queue[0]) {
		return Told{}, false
	}
	t := w.mu.queue[0]
	w.mu.queue[0] = Told{}
	w.mu.queue = w.mu.queue[1:]
	w.mu.bytes -= t.size()
	if len(w.mu.queue) == 0 {
		w.mu.queue = nil
		if w.mu.full {
			w.mu.full = false
			wake(w.stir)
		}
	}
	return t, true
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // told already
	}
}

// run keeps each part with the primary of its partition.
func (w *Watch) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		v := w.c.View()
		timer.Reset(time.Until(w.look(v)))
		select {
		case <-w.c.ViewChanged(v):
		case <-w.stir:
		case <-timer.C:
		case <-w.ctx.Done():
			return
		}
	}
}

// look has the parts ask that nobody tells anything, or not the primary. It returns when to
// look again.
func (w *Watch) look(v *ring.View) (next time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	next = now.Add(watchIdle)
	due := make(map[string][]attempt)
	for _, p := range w.mu.parts {
		r, ok := routeIn(v, p.id)
		if ok && r.addr != "" && (p.conn != nil && r.addr != p.conn.addr || p.asking != "" && r.addr != p.asking) {
			p.leave()
			p.asking, p.retryAt = "", now // it may never answer
		}
		switch {
		case p.conn != nil || p.asking != "" || w.mu.full:
		case !ok || r.addr == "": // until the view changes
		case now.Before(p.retryAt):
			if p.retryAt.Before(next) {
				next = p.retryAt
			}
		default:
			p.asking = r.addr
			p.tries++
			due[r.addr] = append(due[r.addr], attempt{p, p.tries})
		}
	}
	for addr, parts := range due {
		w.c.ended.Go(func() { w.ask(addr, parts) })
	}
	return next
}

// attempt is a part that asks a server.
type attempt struct {
	*watchPart
	number uint64
}

// ask asks a server to tell of some partitions.
func (w *Watch) ask(addr string, parts []attempt) {
	wc, err := w.c.watchConns.get(w.ctx, addr)
	pending := make([]wire.Pending, 0, len(parts))
	for _, p := range parts {
		if err != nil {
			break
		}
		var sent wire.Pending
		if sent, err = w.join(wc, p); err == nil {
			pending = append(pending, sent)
		}
	}
	ctx, cancel := context.WithTimeout(w.ctx, watchAnswerIn)
	defer cancel()
	for i, p := range parts {
		failed := err
		if i < len(pending) {
			failed = answered(ctx, pending[i])
		}
		p.asked(failed)
	}
}

// answered waits for the answer to CmdWatch.
func answered(ctx context.Context, p wire.Pending) error {
	select {
	case res := <-p.Done():
		p.Release()
		switch {
		case res.Err != nil:
			return res.Err
		case res.First != nil:
			return res.First
		}
		return nil
	case <-ctx.Done():
		return plain(ctx.Err())
	}
}

// errOver is why a part is not asked for: the watch is closed, or full, or the part has gone on.
var errOver = errors.New("not wanted any more")

// join has what a connection is told go to a part, and asks the server. That is put in line while
// mu is held: what is said of the part later comes later.
func (w *Watch) join(wc *watchConn, p attempt) (sent wire.Pending, err error) {
	number := w.c.watchConns.nextID()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil || w.mu.full || p.tries != p.number {
		return sent, errOver
	}
	request := wire.AppendWatchRequest(nil, &wire.WatchRequest{ID: number, Partition: p.id, Now: !p.from, Term: p.at.Term, Seq: p.at.Seq,
		Space: w.spec.Space, Prefix: w.spec.Prefix, Slot: w.spec.Slot, Name: []byte(w.spec.Name), Values: w.spec.Values})
	if !wc.add(number, p.watchPart) {
		return sent, errors.New("the connection is broken")
	}
	sent, ok, err := wc.conn.TryStart(wire.AppendCommand(nil, []byte(wire.CmdWatch), request), 1, wire.Room{})
	if err == nil && !ok {
		err = errors.New("too much is under way on the connection")
	}
	if err != nil {
		wc.forget(number)
		return sent, err
	}
	p.conn, p.watchPart.number = wc, number
	return sent, nil
}

// asked notes what a server that was asked has answered at once.
func (a attempt) asked(failed error) {
	p := a.watchPart
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.tries != a.number || p.asking == "" {
		return // the part has gone on meanwhile
	}
	p.asking = ""
	switch {
	case errors.Is(failed, errOver):
	case failed != nil:
		p.w.mu.last = failed
		p.leave()
		p.again()
	}
	wake(p.w.stir)
}

// leave has a part told nothing more. The caller holds mu.
func (p *watchPart) leave() {
	if p.conn != nil {
		p.conn.remove(p.number)
		p.conn = nil
	}
}

// again lets a part ask again after a while, each time a longer one. The caller holds mu.
func (p *watchPart) again() {
	p.retryAt = time.Now().Add(jitter(p.pause))
	p.pause = min(2*p.pause, watchPauseMax)
	wake(p.w.stir)
}

// lost tells a part that its connection is broken.
func (p *watchPart) lost(wc *watchConn) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.conn == wc {
		p.conn = nil
		p.again()
	}
}

// hear takes what the server tells.
func (p *watchPart) hear(t *wire.Told) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.conn == nil || t.ID != p.number {
		return // said before the part left
	}
	if t.Kind == wire.TellEnded {
		p.over(t)
		return
	}
	before, known := p.at, p.from
	p.at, p.from = Position{t.Term, t.Seq}, true
	if t.Kind != wire.TellBegun {
		p.pause = watchPauseMin
	}
	if !p.begun {
		if p.begun, p.began = true, p.at; t.Kind == wire.TellAnew && known {
			p.began = before // until it is taken that all begins anew
		}
		if w.mu.pending--; w.mu.pending == 0 {
			close(w.begun)
		}
	} else if t.Kind == wire.TellBegun {
		return // it goes on where it was
	}
	one := Told{Partition: p.id, Told: *t}
	if n := len(w.mu.queue); n > 0 && t.Kind == wire.TellPassed && w.mu.queue[n-1].Kind == wire.TellPassed && w.mu.queue[n-1].Partition == p.id {
		w.mu.queue[n-1] = one
		return
	}
	w.mu.queue = append(w.mu.queue, one)
	wake(w.some)
	if w.mu.bytes += one.size(); w.mu.bytes > toldBytesMax {
		w.mu.full = true
		for _, other := range w.mu.parts {
			other.leave()
		}
	}
}

// over takes a server's word that it tells nothing more. The caller holds mu.
func (p *watchPart) over(t *wire.Told) {
	addr := p.conn.addr
	p.conn = nil
	switch v := p.w.c.View(); {
	case t.Why == wire.WhySlow: // or the server has no memory to spare: what was told meanwhile was progress, else it waits
	case t.Why == wire.WhyUnavailable:
		p.w.mu.last = &wire.ServerError{Code: wire.CodeUnavailable, Message: fmt.Sprintf("partition %d can't serve now", p.id)}
	case t.Epoch > v.Epoch:
		p.w.c.ended.Go(func() { _ = p.w.c.askServer(p.w.ctx, addr) }) // it knows who is the primary; else somebody else will say
	}
	p.again()
}
