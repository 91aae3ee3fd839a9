package front

// What a client is told that it did not ask for.

// Tell puts a reply that answers no command at the end of the line, and does not wait for
// room: whoever tells has one of them in line, and what is to be said meanwhile comes after
// it has been released. It is false, and the reply is not taken, where no more are written.
// Any goroutine may call it.
func (c *Conn) Tell(r Reply) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.ended || c.mu.gone {
		return false
	}
	c.putLast(r)
	c.Notify()
	return true
}

// CutOff hangs up on a client that does not read what it is told. limit is the one that it
// met. Any goroutine may call it; it does not wait.
func (c *Conn) CutOff(limit string) {
	s := c.server
	s.met(&s.reached.Cut, limit)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, served := s.mu.conns[c]; served {
		s.running.Go(func() { _ = c.nc.Close() }) // lets the reader go; with TLS it may wait
	}
}
