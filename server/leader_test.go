package server

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/viewleader/roster"
	"viewring/viewleader/vocab"
)

// miniLeader is a view leader without Raft, disk and failure detector: the real
// roster behind the real commands, and the test says who is dead.
type miniLeader struct {
	t    *testing.T
	l    net.Listener
	gone sync.WaitGroup
	over chan struct{}
	once sync.Once

	mu    sync.Mutex
	state *roster.State
	newer chan struct{} // closed with the next epoch
	conns map[net.Conn]bool
	lost  bool // its data: it asks for reports
	told  []wire.Report
	beats int  // heartbeats so far
	crowd bool // of clients: nobody may wait for a view
	// vouch answers whether terms stand, instead of the truth; nil: the truth is told.
	vouch func(m *miniLeader, w *wire.Writer, truth []byte)
}

func startMiniLeader(t *testing.T, partitions, minCopies int) *miniLeader {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &miniLeader{t: t, l: l, over: make(chan struct{}), newer: make(chan struct{}), conns: make(map[net.Conn]bool),
		state: roster.New(roster.Config{Cluster: [16]byte{1}, Partitions: partitions, MinCopies: minCopies})}
	m.gone.Add(1)
	go m.accept()
	t.Cleanup(m.stop)
	return m
}

func (m *miniLeader) addrs() []string { return []string{m.l.Addr().String()} }

func (m *miniLeader) stop() {
	_ = m.l.Close()
	m.once.Do(func() { close(m.over) })
	m.mu.Lock()
	for nc := range m.conns {
		_ = nc.Close()
	}
	m.mu.Unlock()
	m.gone.Wait()
}

func (m *miniLeader) accept() {
	defer m.gone.Done()
	for {
		nc, err := m.l.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.conns[nc] = true
		m.mu.Unlock()
		m.gone.Add(1)
		go m.serve(nc)
	}
}

// apply runs commands as one batch.
func (m *miniLeader) apply(commands ...roster.Command) []roster.Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range commands {
		commands[i].At = time.Now().UnixMilli()
	}
	before := m.state.Epoch()
	results := m.state.Apply(commands)
	if m.state.Epoch() > before {
		close(m.newer)
		m.newer = make(chan struct{})
	}
	return results
}

func (m *miniLeader) view() (*ring.View, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.View(), m.newer
}

func (m *miniLeader) serve(nc net.Conn) {
	defer m.gone.Done()
	r, w := wire.NewReader(nc, wire.DefaultLimits), wire.NewWriter(nc)
	for {
		args, err := r.ReadCommand()
		if err != nil {
			_ = nc.Close()
			return
		}
		m.run(w, args)
		if w.Flush() != nil {
			return
		}
	}
}

func (m *miniLeader) run(w *wire.Writer, args [][]byte) {
	if m.isLost() && string(args[0]) != wire.CmdReport {
		w.WriteError(wire.CodeRecovering + " who is there?")
		return
	}
	switch string(args[0]) {
	case wire.CmdReport:
		q, err := wire.DecodeReport(bytes.Clone(args[1])) // it is kept
		if err != nil {
			m.t.Error(err)
		}
		m.mu.Lock()
		m.told = append(m.told, q)
		m.mu.Unlock()
		w.WriteSimple("OK")
	case "AUTH":
		w.WriteSimple("OK")
	case wire.CmdRegister:
		m.register(w, args[1])
	case wire.CmdHeartbeat:
		h, _ := wire.DecodeHeartbeat(args[1])
		m.mu.Lock()
		m.beats++
		m.mu.Unlock()
		v, _ := m.view()
		member := v.Member(h.ID)
		w.WriteBulk(wire.AppendHeartbeatReply(nil, &wire.HeartbeatReply{Epoch: v.Epoch, Every: 20 * time.Millisecond,
			Known: member != nil && member.Up && member.Incarnation == h.Incarnation}))
	case wire.CmdView:
		m.sendView(w, args)
	case wire.CmdChange:
		m.change(w, args[1])
	case wire.CmdConfirm:
		questions, _ := wire.DecodeConfirms(args[1])
		v, _ := m.view()
		answers := make([]byte, len(questions))
		for i, q := range questions {
			if v.Partitions[q.Partition].Term == q.Term {
				answers[i] = 1
			}
		}
		m.mu.Lock()
		vouch := m.vouch
		m.mu.Unlock()
		if vouch != nil {
			vouch(m, w, answers)
			return
		}
		w.WriteBulk(answers)
	default:
		w.WriteError("ERR unknown command")
	}
}

func (m *miniLeader) setVouch(vouch func(*miniLeader, *wire.Writer, []byte)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vouch = vouch
}

// hangUp ends all connections, as the end of its process does.
func (m *miniLeader) hangUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for nc := range m.conns {
		_ = nc.Close() // its goroutine notices
	}
}

func (m *miniLeader) isLost() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lost
}

func (m *miniLeader) heartbeats() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.beats
}

// lose makes the view leader ask for reports, or end that.
func (m *miniLeader) lose(lost bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost, m.told = lost, nil
}

// replace gives the view leader another state.
func (m *miniLeader) replace(state *roster.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = state
	close(m.newer)
	m.newer = make(chan struct{})
}

// reports returns what it was told since it lost its data.
func (m *miniLeader) reports() []wire.Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told
}

func (m *miniLeader) register(w *wire.Writer, b []byte) {
	q, _ := wire.DecodeRegister(b)
	res := m.apply(roster.Command{Kind: roster.KindRegister, Register: vocab.Register{
		Cluster: q.Cluster, ID: q.ID, Store: q.Store, Instance: q.Instance, Previous: q.Previous,
		Incarnation: q.Incarnation, Addr: q.Addr, Zone: q.Zone, Weight: q.Weight, Whole: q.Whole}})[0]
	if res.Code != roster.Done {
		w.WriteError(wire.CodeRefused + " " + res.Reason)
		return
	}
	v, _ := m.view()
	w.WriteBulk(wire.AppendRegistered(nil, &wire.Registered{ID: res.ID, Epoch: v.Epoch, View: ring.AppendView(nil, v, 0)}))
}

func (m *miniLeader) sendView(w *wire.Writer, args [][]byte) {
	since, _ := strconv.ParseUint(string(args[1]), 10, 64)
	wait, _ := strconv.Atoi(string(args[2]))
	v, newer := m.view()
	m.mu.Lock()
	crowd := m.crowd
	m.mu.Unlock()
	if crowd && wait != 0 {
		w.WriteError(wire.CodeBusy + " too many connections")
		return
	}
	if v.Epoch <= since {
		select {
		case <-newer:
		case <-m.over:
		case <-time.After(time.Duration(wait) * time.Millisecond):
			w.WriteNil()
			return
		}
		v, _ = m.view()
	}
	w.WriteBulk(ring.AppendView(nil, v, since))
}

func (m *miniLeader) change(w *wire.Writer, b []byte) {
	changes, _ := wire.DecodeChanges(b)
	commands := make([]roster.Command, len(changes))
	for i, c := range changes {
		commands[i] = roster.Command{Kind: roster.KindHandoff, From: ring.Incarnated(c.From), Partition: c.Partition, Term: c.Term}
		if c.Kind == wire.ChangeEject {
			commands[i].Kind = roster.KindEject
		}
		for _, in := range c.Acting {
			commands[i].Who = append(commands[i].Who, ring.Incarnated(in))
		}
	}
	results := make([]wire.ChangeResult, len(changes))
	for i, r := range m.apply(commands...) {
		results[i] = wire.ChangeResult{Done: r.Code == roster.Done, Epoch: r.Epoch, Reason: r.Reason}
	}
	w.WriteBulk(wire.AppendChangeResults(nil, results))
}

// expire declares a server dead.
func (m *miniLeader) expire(id ring.ServerID) {
	v, _ := m.view()
	m.apply(roster.Command{Kind: roster.KindExpire, Who: []ring.Incarnated{{ID: id, Incarnation: v.Member(id).Incarnation}}})
}
