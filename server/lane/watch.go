package lane

import (
	"viewring/ring"
	"viewring/server/replica"
)

// Watcher is told of what it watches, in a lane's turn: it must not wait. After a
// WatchEnded it is told nothing more.
type Watcher interface{ Watched(w *replica.Watched) }

// watch is a wish on its way to its lane.
type watch struct {
	wish replica.Watch
	to   Watcher
}

// Watch has a watcher told of changes in a partition, and returns what to name the watch by
// there; w.Token is not used. It may wait, and the watcher may be told before it returns.
func (ls Lanes) Watch(w replica.Watch, to Watcher) (token uint64) {
	l := ls.Of(w.Partition)
	w.Token = l.lastWatch.Add(1)
	l.inbox.put(Event{kind: onWatch, watch: &watch{w, to}})
	return w.Token
}

// ResumeWatch has more told to a watcher that was told WatchPaused.
func (ls Lanes) ResumeWatch(p ring.PartitionID, token uint64) {
	ls.Of(p).inbox.force(Event{kind: onResume, partition: p, n: token})
}

// Unwatch ends a watch. What was on its way is still told.
func (ls Lanes) Unwatch(p ring.PartitionID, token uint64) {
	ls.Of(p).inbox.force(Event{kind: onUnwatch, partition: p, n: token})
}

// Feed begins or ends the feed of all changes (Outward.Fed).
func (ls Lanes) Feed(on bool) {
	for _, l := range ls {
		l.inbox.force(Event{kind: onFeed, ok: on})
	}
}

// Watches is how many there are, as of the lanes' last ticks.
func (ls Lanes) Watches() (n int) {
	for _, l := range ls {
		n += l.Stats().Watches
	}
	return n
}

// told passes on what a watcher is told.
func (l *Lane) told(w *replica.Watched) {
	to := l.watches[w.Token]
	if to == nil {
		return // it has left meanwhile
	}
	if w.Kind == replica.WatchEnded {
		delete(l.watches, w.Token)
	}
	to.Watched(w)
}
