package lane

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wait"
	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/replica"
)

// Lane is an event loop that owns the partitions with id % lanes == number. Any
// goroutine may call its exported methods; run and runCommits are goroutines of its own.
type Lane struct {
	// Set by New, and never again.
	now       func() replica.Instant
	store     Store
	itemBytes func() int64
	number    int
	all       Lanes
	inbox     *inbox

	out Outward         // set by Begin, before the goroutines run
	ctx context.Context // likewise

	commits chan commit                   // from run to runCommits
	due     atomic.Bool                   // a tick
	syncing atomic.Int32                  // batches handed out, not yet durable
	synced  chan struct{}                 // capacity 1: one of them became durable
	epoch   atomic.Uint64                 // adopted here
	movedAt atomic.Int64                  // Mono of the last round, to notice a lane that hangs
	stats   atomic.Pointer[replica.Stats] // as of the last tick
	kept    atomic.Int64                  // bytes of items, as of the last tick
	looks   atomic.Uint64                 // for items, likewise
	finds   atomic.Uint64                 // of these: in memory

	lastWatch atomic.Uint64 // the token of the last watch

	stirred time.Duration // when something came that may need ticks soon; run's

	turn   sync.Mutex    // held in a round, and in a read between two
	failed bool          // a round was not carried out; guarded by turn
	core   *replica.Core // guarded by turn
	items  *itemCache    // guarded by turn

	// run's, in a round.
	calls   []Call             // under way, by token-1
	watches map[uint64]Watcher // by token
	free    []uint64
	sending map[ring.ServerID]*frame.Messages // of a round; nil: none yet
	touched []Client                          // have answers that their writers don't know of
	bulk    []Event                           // see isBulk; one of them is taken up a round
}

// commit is a batch on its way to the disk.
type commit struct {
	number uint64
	wait   func() error
}

// run is the lane's goroutine.
func (l *Lane) run() {
	defer close(l.commits)
	defer l.inbox.close()
	// The loop waits on no ticker's own channel: with each wait the runtime would arm the
	// timer anew, which wakes the thread that polls the network.
	tick := time.AfterFunc(0, func() {
		l.due.Store(true)
		l.inbox.notify()
	})
	defer tick.Stop()
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	var events []Event
	every := time.Duration(0) // between ticks, as tick is set
	for {
		if want := l.tickEvery(); want != every {
			every = want
			tick.Reset(wait.Until(l.now().Mono, every))
		}
		select {
		case <-l.inbox.wake:
		case <-l.ctx.Done():
			return
		}
		runtime.Gosched() // what else is ready to run may have more for this round
		if len(l.bulk) == 0 {
			l.gather(pause)
		}
		events = l.inbox.take(events)
		ticked := l.due.Swap(false)
		if ticked {
			tick.Reset(wait.Until(l.now().Mono, every))
		}
		for rest := events; ; {
			n := min(len(rest), DrainMax)
			if err := l.round(rest[:n], ticked); err != nil {
				l.out.Fail(err)
				return
			}
			if rest = rest[n:]; len(rest) == 0 {
				break
			}
			ticked = false
		}
		clear(events)
		if len(l.bulk) > 0 {
			l.inbox.notify()
		}
	}
}

// tickEvery is how long it is from tick to tick: nothing is resent, waited for or handed off
// in a lane to which nothing but promises came for a while.
func (l *Lane) tickEvery() time.Duration {
	if l.LastRound()-l.stirred >= calmAfter {
		return calmTickEvery
	}
	return busyTickEvery
}

// gather lets events come together while a batch is on its way to the disk: the
// next one then carries them all, which costs little more than carrying one. A
// slow disk does not hold up reads for longer than gatherMax.
func (l *Lane) gather(pause *time.Timer) {
	if l.syncing.Load() == 0 {
		return
	}
	pause.Reset(gatherMax)
	select {
	case <-l.synced:
	case <-pause.C:
	case <-l.ctx.Done():
	}
}

// round carries out a round in the lane's turn. After one that was not carried out, for
// whatever reason, nobody reads here any more.
func (l *Lane) round(events []Event, ticked bool) (err error) {
	whole := false
	l.turn.Lock()
	defer func() {
		l.failed = l.failed || !whole
		l.turn.Unlock()
	}()
	err = l.carryOut(events, ticked)
	whole = err == nil
	return err
}

// carryOut steps the core over some events and does what it then wants done.
func (l *Lane) carryOut(events []Event, ticked bool) error {
	at := l.now() // after any read's instant
	for i := range events {
		if k := events[i].kind; k != onPromise && k != onPeerDone && k != onLook {
			l.stirred = at.Mono
		}
		if events[i].isBulk() && len(l.bulk) < bulkMax {
			l.bulk = append(l.bulk, events[i])
			continue
		}
		l.handle(at, &events[i])
	}
	if len(l.bulk) > 0 {
		l.handle(at, &l.bulk[0])
		l.bulk[0] = Event{}
		l.bulk = l.bulk[1:]
	}
	if ticked {
		l.core.SetHandoffEvery(l.out.Mover.HandoffEvery())
		l.core.Tick(at)
		st := l.core.Stats()
		l.stats.Store(&st)
		l.items.setLimit(l.itemBytes())
		l.kept.Store(int64(l.items.bytes + l.items.lists.bytes))
		l.looks.Store(uint64(l.items.looks))
		l.finds.Store(uint64(l.items.finds))
	}
	l.movedAt.Store(int64(at.Mono))
	for {
		r, ok := l.core.Ready()
		if err := l.core.Err(); err != nil {
			return fmt.Errorf("lane %d: %w", l.number, err)
		}
		if !ok {
			break
		}
		if err := l.perform(&r); err != nil {
			return err
		}
	}
	l.dispatch()
	return nil
}

func (l *Lane) handle(at replica.Instant, e *Event) {
	switch e.kind {
	case onMessage:
		l.core.Step(at, e.from, e.msg)
	case onPeerDone:
		l.core.PeerDone(at, e.from, e.n)
	case onPromise:
		l.core.Promised(at, *e.promise)
	case onCall:
		l.begin(at, e.call)
	case onLook:
		if a, ok := e.call.Look()(l.core); ok {
			l.complete(e.call, a)
			return
		}
		l.stirred = at.Mono
		l.begin(at, e.call)
	case onSynced:
		l.core.Synced(at, e.n)
	case onView:
		l.core.Adopt(at, e.adoption.view, e.adoption.table, e.adoption.promised)
		l.epoch.Store(e.adoption.view.Epoch)
		if l.all.Done() == e.adoption.view.Epoch {
			l.out.Peers.ServesFrom(e.adoption.view)
		}
	case onLearn:
		l.core.Learn(at, e.partition, e.from)
	case onExpired:
		for _, key := range e.found.keys {
			l.core.Expire(at, e.found.partition, key)
		}
	case onCorrupt:
		for _, key := range e.found.keys {
			l.items.forget(e.found.partition, key)
			l.core.Repair(at, e.found.partition, key)
		}
		if len(e.found.keys) == 0 {
			l.items.forgetAll(e.found.partition)
			l.core.Damaged(at, e.found.partition)
		}
	case onFull:
		l.core.SetFull(at, e.ok)
	case onConfirmed:
		l.core.Confirmed(at, e.n, e.ok)
	case onWatch:
		l.watches[e.watch.wish.Token] = e.watch.to
		l.core.Watch(at, e.watch.wish)
	case onResume:
		l.core.ResumeWatch(at, e.partition, e.n)
	case onUnwatch:
		delete(l.watches, e.n)
		l.core.Unwatch(at, e.partition, e.n)
	case onFeed:
		l.core.SetFeed(at, e.ok)
	}
}

// begin hands a client's request to the core under a token of its own.
func (l *Lane) begin(at replica.Instant, c Call) {
	var slot uint64
	if n := len(l.free); n > 0 {
		slot, l.free = l.free[n-1], l.free[:n-1]
		l.calls[slot] = c
	} else {
		slot = uint64(len(l.calls))
		l.calls = append(l.calls, c)
	}
	if a, isRead := c.ToRead(); isRead {
		l.core.Read(at, replica.Read{Token: slot + 1, Partition: a.Partition, Key: a.Key, Cut: a.Cut})
		return
	}
	r := c.ToWrite()
	r.Token = slot + 1
	l.core.Propose(at, *r)
}

// perform does one Ready. The batch comes first: it must be visible before the
// core is called again, and reads of the same Ready see it.
func (l *Lane) perform(r *replica.Ready) error {
	if r.Batch != nil {
		l.out.Storing(r.Batch)
		durable, err := l.store.ApplyBatch(r.Batch)
		if err != nil {
			return err
		}
		l.items.wrote(r.Batch)
		l.out.Stored(r.Batch)
		l.syncing.Add(1)
		select {
		case <-l.synced: // of an earlier batch
		default:
		}
		l.commits <- commit{number: r.Batch.Number, wait: durable}
	}
	for i := range r.Send {
		l.send(&r.Send[i])
	}
	if len(r.Reads) > 0 {
		for i := range r.Reads {
			rd := &r.Reads[i]
			if rd.Cut != nil {
				rd.Piece, _, rd.Err = l.items.GetPart(rd.Partition, rd.Key, rd.Cut)
				continue
			}
			rd.Item, rd.Err = l.items.Get(rd.Partition, rd.Key)
		}
		l.core.Served(l.now(), r.Reads) // a fresh instant: the lease is checked again
	}
	for i := range r.Watched {
		l.told(&r.Watched[i])
	}
	if len(r.Fed) > 0 {
		l.out.Fed(r.Fed)
	}
	if len(r.Stops) > 0 {
		l.out.Stopped(r.Stops)
	}
	for i := range r.Answers {
		l.answer(&r.Answers[i])
	}
	if len(r.ToLeader) > 0 {
		l.out.Leader.Ask(l.number, r.ToLeader)
	}
	return nil
}

// send encodes a message here, for messages share what they point to with the
// core; it leaves with the round.
func (l *Lane) send(e *replica.Envelope) {
	if e.Msg.Type == replica.MsgFetch {
		l.out.Mover.Fetch(e.To, e.Msg)
		return
	}
	switch {
	case e.Msg.Type == replica.MsgPage:
		l.out.Mover.Paged(e.To, e.Msg)
	case e.Msg.SaysWhole():
		l.out.Mover.Whole(e.Msg.Partition)
	}
	o := l.sending[e.To]
	if o == nil {
		o = &frame.Messages{}
		l.sending[e.To] = o
	}
	o.Append(e.Msg)
	if e.Msg.Room != nil {
		frame.GiveBuffer(e.Msg.Room)
		e.Msg.Room = nil
	}
	if o.Bytes() >= frame.BytesMax {
		l.ship(e.To, o)
	}
}

func (l *Lane) ship(to ring.ServerID, o *frame.Messages) {
	l.sending[to] = nil
	l.out.Peers.Send(to, o)
}

// dispatch lets go what the round gathered: one buffer per peer, one wake-up per
// connection.
func (l *Lane) dispatch() {
	for to, o := range l.sending {
		if o != nil {
			l.ship(to, o)
		}
	}
	for i, c := range l.touched {
		c.Notify()
		l.touched[i] = nil
	}
	l.touched = l.touched[:0]
}

func (l *Lane) answer(a *replica.Answer) {
	slot := a.Token - 1
	c := l.calls[slot]
	l.calls[slot] = nil
	l.free = append(l.free, slot)
	l.complete(c, *a)
}

func (l *Lane) complete(c Call, a replica.Answer) {
	if n, client := len(l.touched), c.Client(); n == 0 || l.touched[n-1] != client {
		l.touched = append(l.touched, client)
	}
	c.Complete(a) // from here on c belongs to its client
}

// runCommits waits for the lane's batches in order and tells it when they are
// durable. It ends when the lane has closed its channel.
func (l *Lane) runCommits() {
	for c := range l.commits {
		if err := c.wait(); err != nil {
			l.out.Fail(err)
			continue // the others fail too
		}
		l.inbox.force(Event{kind: onSynced, n: c.number})
		l.syncing.Add(-1)
		select {
		case l.synced <- struct{}{}:
		default: // told already
		}
	}
}
