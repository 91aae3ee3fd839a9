package viewleader

import (
	"fmt"
	"time"

	"viewring/internal/wire"
	"viewring/viewleader/roster"
	"viewring/viewleader/vocab"
)

// register lets a server in. It may have to wait until a process that it replaces proves
// dead, so a goroutine of its own waits for that.
func (c *conn) register(r *reply, args [][]byte) {
	q, err := wire.DecodeRegister(args[0])
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	if why := c.s.holdBack(&q); why != "" {
		r.fail(wire.CodeBusy, why)
		return
	}
	c.s.running.Go(func() {
		if err := c.s.awaitIncumbent(c, &q); err != nil {
			r.fail(wire.CodeRefused, err.Error())
			return
		}
		c.s.admit(r, &q)
	})
}

// admit puts the registration to the roster.
func (s *Service) admit(r *reply, q *vocab.Register) {
	cmd := roster.Command{Kind: roster.KindRegister, Register: *q}
	s.submit(proposal{cmd: cmd, done: func(res roster.Result, err error) {
		if err != nil {
			failed(r, err)
			return
		}
		if res.Code != roster.Done {
			s.opts.Logger.Warn("registration refused", "server", q.ID, "addr", q.Addr, "reason", res.Reason)
			refuse(r, res)
			return
		}
		s.beats.registered(res.ID, q)
		s.opts.Logger.Info("server registered", "server", res.ID, "addr", q.Addr, "incarnation", q.Incarnation, "epoch", res.Epoch)
		view, epoch := s.views.whole()
		r.bulk(wire.AppendRegistered(nil, &wire.Registered{ID: res.ID, Epoch: epoch, View: view, Every: s.opts.Heartbeat}))
	}})
}

// awaitIncumbent waits while another process is up as the server that registers. If that
// process lives, the newcomer is refused; if it is dead, the newcomer may pass. It
// returns early, without an error, when nobody waits for the answer.
func (s *Service) awaitIncumbent(c *conn, q *vocab.Register) error {
	arrived := s.opts.Now()
	patience := time.NewTimer(s.opts.DownAfter + 2*s.opts.ReturnGrace)
	defer patience.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		p := s.published.Load()
		m := inTheWay(p, q)
		if m == nil {
			return nil
		}
		heard, connected := s.beats.signs(m)
		if heard.After(arrived) {
			if m.Addr == q.Addr && m.ID != q.ID && m.Store != q.Store {
				return fmt.Errorf("address %s belongs to %v, which is up", q.Addr, m.ID)
			}
			return fmt.Errorf("%v already runs as another process at %s: are there two processes on copies of one data folder?", m.ID, m.Addr)
		}
		same := m.ID == q.ID || m.Store == q.Store
		if same && !connected && (!heard.IsZero() || s.beats.quiet()) {
			return nil // a restart: the old process hung up
		}
		if same && connected && s.opts.Now().Sub(heard) >= s.opts.DownAfter {
			return nil
		}
		select {
		case <-p.next:
		case <-again.C:
		case <-patience.C:
			return nil // the roster decides
		case <-c.broken:
			return nil
		case <-s.ctx.Done():
			return nil
		}
	}
}

// inTheWay returns a member that is up as another process on the same store, or
// at the same address.
func inTheWay(p *published, q *vocab.Register) *roster.MemberState {
	for i := range p.members {
		m := &p.members[i]
		if !m.Up || m.Instance == q.Instance {
			continue
		}
		same := m.ID == q.ID || m.Store == q.Store
		if same && q.Incarnation > m.Incarnation || !same && m.Addr == q.Addr {
			return m
		}
	}
	return nil
}

// quiet reports whether this process has run for long enough to have heard from every
// server that lives.
func (b *beats) quiet() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opts.Now().Sub(b.mu.started) >= b.opts.DownAfter
}
