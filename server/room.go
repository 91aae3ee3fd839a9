package server

import (
	"cmp"
	"fmt"
	"time"

	"viewring/ring"
)

// diskLookEvery is how often the room that the disk has left is looked at; a share of
// the reserve written since makes it sooner.
const (
	diskLookEvery   = time.Second
	diskReserveMin  = 64 << 20
	diskReserveTurn = 8 // of the reserve: bytes of batches between two looks
)

// room watches the disk below the data folder. With less than the reserve left the
// server is full, with twice as much it is not any more.
type room struct {
	s    *Server
	wake chan struct{} // capacity 1: much was written
}

func newRoom(s *Server) *room { return &room{s: s, wake: make(chan struct{}, 1)} }

// reserve is what is asked for, and never less than what the store must have: what is under
// way when the server becomes full still has to be written.
func (r *room) reserve() uint64 {
	return max(uint64(cmp.Or(r.s.opts.DiskReserve, diskReserveMin)), r.s.store.Reserve())
}

// look decides anew, and tells the lanes what has changed.
func (r *room) look() {
	free, reserve := r.s.store.DiskFree(), r.reserve()
	full := r.s.full.Load()
	switch {
	case free == 0 && !r.s.store.DiskKnown():
		return // a file system that can't tell
	case !full && free < reserve:
		r.s.logger.Error("the disk is nearly full: others take over where they suffice, other writes are refused; free room or add servers",
			"free", free, "reserve", reserve, "data", r.s.opts.Data)
	case full && free >= 2*reserve:
		r.s.logger.Info("the disk has room again", "free", free)
	default:
		return
	}
	r.s.full.Store(!full)
	for _, l := range r.s.lanes {
		l.inbox.force(event{kind: onFull, ok: !full})
	}
}

// wrote notes n bytes of a lane's batches.
func (r *room) wrote(n int) {
	if r.s.written.Add(int64(n)) < diskReserveMin/diskReserveTurn {
		return
	}
	r.s.written.Store(0)
	select {
	case r.wake <- struct{}{}:
	default: // told already
	}
}

func (r *room) run() {
	tick := time.NewTicker(diskLookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.wake:
		case <-r.s.ctx.Done():
			return
		}
		r.look()
	}
}

// fullText says which server keeps a write from being taken.
func (s *Server) fullText(id ring.ServerID) string {
	where := id.String()
	if m := s.views.current().view.Member(id); m != nil {
		where += " (" + m.Addr + ")"
	}
	return fmt.Sprintf("disk full on server %s: free room or add servers", where)
}
