package server

import (
	"cmp"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"viewring/internal/secure"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

const (
	unlinkedAfter = 2 * time.Second  // without a connection to a server that is up, the status says so
	unlinkedLog   = 10 * time.Second // and the log; what no further try mends it says at once
	unlinkedAgain = 10 * time.Minute // and again
)

// unlinked knows to which servers this one can't connect, and why. Any goroutine may call its
// methods.
type unlinked struct {
	logger *slog.Logger
	isUp   func(ring.ServerID) bool

	mu struct {
		sync.Mutex
		of map[ring.ServerID]*broken
	}
}

// broken is a server that can't be connected to.
type broken struct {
	since time.Time
	why   uint64    // one of vocab's
	text  string    // of the last try
	said  string    // to the log
	quiet time.Time // until then that is not said again
}

func newUnlinked(logger *slog.Logger, isUp func(ring.ServerID) bool) *unlinked {
	u := &unlinked{logger: logger, isUp: isUp}
	u.mu.of = make(map[ring.ServerID]*broken)
	return u
}

// tried notes how a try to connect ended.
func (u *unlinked) tried(to ring.ServerID, err error) {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		delete(u.mu.of, to)
		return
	}
	b := u.mu.of[to]
	if b == nil || !u.isUp(to) { // one that is down is expected not to answer
		b = &broken{since: now}
		u.mu.of[to] = b
	}
	b.why, b.text = whyUnlinked(err), err.Error()
	if b.why == vocab.UnlinkedUnknown && now.Sub(b.since) < unlinkedLog || !u.isUp(to) && b.why == vocab.UnlinkedUnknown {
		return
	}
	if text := err.Error(); text != b.said && b.why != vocab.UnlinkedUnknown || now.After(b.quiet) {
		b.said, b.quiet = text, now.Add(unlinkedAgain)
		u.logger.Warn("this server can't connect to another one, which gets no copies from it", "to", to, "err", err)
	}
}

// whyUnlinked is the reason in the words of the status.
func whyUnlinked(err error) uint64 {
	switch secure.TroubleOf(err) {
	case secure.NotBelieved:
		return vocab.UnlinkedCertificate
	case secure.Refused:
		return vocab.UnlinkedRefused
	case secure.WrongPass:
		return vocab.UnlinkedPassword
	case secure.OneEncrypted:
		return vocab.UnlinkedTLS
	}
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return vocab.UnlinkedFiles
	}
	return vocab.UnlinkedUnknown
}

// report tells the status.
func (u *unlinked) report(t *vocab.ServerStats) {
	for _, b := range u.list() {
		t.Unlinked++
		if b.Why != vocab.UnlinkedUnknown && t.UnlinkedWhy == vocab.UnlinkedUnknown || t.UnlinkedTo == 0 {
			t.UnlinkedTo, t.UnlinkedWhy = uint64(b.ID), b.Why
		}
	}
}

// list are the servers that are up, and without a connection for a while, in the order of their ids.
func (u *unlinked) list() (all []vocab.UnlinkedPeer) {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, b := range u.mu.of {
		if now.Sub(b.since) >= unlinkedAfter && u.isUp(id) {
			all = append(all, vocab.UnlinkedPeer{ID: id, Why: b.why, Since: b.since, Text: b.text})
		}
	}
	slices.SortFunc(all, func(x, y vocab.UnlinkedPeer) int { return cmp.Compare(x.ID, y.ID) })
	return all
}
