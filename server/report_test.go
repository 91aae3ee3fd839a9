package server

import (
	"testing"

	"viewring/ring"
	"viewring/viewleader/roster"
	"viewring/viewleader/vocab"
)

// TestReportBinds: a server that has told a view leader what it knows hears nothing
// more of the history that it told, until that goes on, or a recovered one begins.
func TestReportBinds(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	epoch := func() uint64 { return s.views.View().Epoch }
	offer := func(v *ring.View) {
		s.views.Offer(t.Context(), v)
		s.views.Offer(t.Context(), s.views.View()) // taken when the first is done with
	}
	before := epoch()
	c.leader.lose(true)
	c.wait("a report", func() bool { return len(c.leader.reports()) > 0 })
	q := c.leader.reports()[0]
	v, err := ring.DecodeView(q.View, nil)
	if err != nil || v.Epoch != before || q.Epoch != before || q.ID != 1 || q.Cluster != v.Cluster || v.Members[0].Incarnation != q.Incarnation {
		t.Fatalf("%+v, %v", q, err)
	}
	c.leader.apply(roster.Command{Kind: roster.KindConfigure, MinCopies: 2, LeaseTTL: 700e6})
	unheard, _ := c.leader.view()
	offer(unheard)
	if epoch() != before {
		t.Errorf("adopted epoch %d after the report of %d", epoch(), before)
	}

	c.leader.lose(false) // its data is there again
	c.wait("the view leader goes on", func() bool { return epoch() == unheard.Epoch })

	c.leader.lose(true)
	c.wait("another report", func() bool { return len(c.leader.reports()) > 0 })
	rec := roster.Recovery{Reports: []roster.Report{{Register: vocab.Register(c.leader.reports()[0].Register), View: unheard, Epoch: unheard.Epoch}}}
	state, err := rec.Recover(roster.Config{})
	if err != nil {
		t.Fatal(err)
	}
	recovered := state.Epoch() // from here on it is the leader's
	c.leader.replace(state)
	c.leader.lose(false)
	c.wait("the recovered view", func() bool { return epoch() == recovered })
	c.set("k", "v")
}

// TestForgottenRegistration: a recovered view leader that has never heard of this start
// does not end it: it registers again.
func TestForgottenRegistration(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 4, 1)
	if err := c.servers[1].Close(); err != nil {
		t.Fatal(err)
	}
	earlier, _ := c.leader.view()
	s := c.start(c.options(c.fs[1]))
	rec := roster.Recovery{Reports: []roster.Report{{View: earlier, Epoch: earlier.Epoch, Register: vocab.Register{
		Cluster: earlier.Cluster, ID: 1, Store: earlier.Members[0].Store, Incarnation: 1, Instance: 7}}}}
	state, err := rec.Recover(roster.Config{})
	if err != nil {
		t.Fatal(err)
	}
	recovered := state.Epoch() // from here on it is the leader's
	c.leader.replace(state)
	c.wait("the recovered view, with this start", func() bool {
		v := s.views.View()
		return v.Epoch >= recovered && v.Members[0].Incarnation == 2
	})
}

// TestRestartedServerReports: what it knew is on its disk.
func TestRestartedServerReports(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 4, 1)
	epoch := c.servers[1].views.View().Epoch
	if err := c.servers[1].Close(); err != nil {
		t.Fatal(err)
	}
	fs := c.fs[1]
	delete(c.servers, 1)
	c.leader.lose(true)
	started := make(chan *Server)
	go func() {
		s, err := Start(t.Context(), c.options(fs))
		if err != nil {
			t.Error(err)
		}
		started <- s
	}()
	c.wait("a report", func() bool { return len(c.leader.reports()) > 0 })
	q := c.leader.reports()[0]
	if v, err := ring.DecodeView(q.View, nil); err != nil || v.Epoch != epoch || q.Epoch != epoch || q.Incarnation != v.Members[0].Incarnation+1 || len(q.Starts) != 2 {
		t.Errorf("%+v, %v", q, err)
	}
	c.leader.lose(false)
	if s := <-started; s != nil {
		c.servers[1] = s
	}
}
