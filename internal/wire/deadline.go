package wire

import (
	"net"
	"time"
)

// DeadlineWriter cuts off who does not read: a write may take Timeout, or up to an
// eighth less. To set the deadline anew for each write would cost more than all else
// that is ours in one. Not safe for concurrent use.
type DeadlineWriter struct {
	Conn    net.Conn
	Timeout time.Duration
	set     time.Time // when the deadline was last set
}

// Write writes p, or fails when that takes too long.
func (w *DeadlineWriter) Write(p []byte) (int, error) {
	if err := w.Extend(); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// Extend sets the deadline of a write that is about to begin.
func (w *DeadlineWriter) Extend() error {
	now := time.Now()
	if now.Sub(w.set) < w.Timeout/8 {
		return nil
	}
	w.set = now
	return w.Conn.SetWriteDeadline(now.Add(w.Timeout))
}
