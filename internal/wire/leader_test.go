package wire

import (
	"bytes"
	"context"
	"errors"
	"net"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/port"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

var leaderSamples = struct {
	register   vocab.Register
	registered Registered
	heartbeat  Heartbeat
	beat       HeartbeatReply
	changes    []Change
	results    []ChangeResult
	confirms   []Confirm
	status     Status
	locks      vocab.Locks
	events     []vocab.Event
	report     Report
}{
	register: vocab.Register{Cluster: [16]byte{9}, ID: 3, Store: [16]byte{1, 2}, Instance: 1 << 63, Previous: 4, Incarnation: 5,
		Addr: "127.0.0.1:28600", Zone: "z", Weight: 1, Whole: true, Starts: []uint64{7, 1 << 63}},
	registered: Registered{ID: 3, Epoch: 9, View: []byte("view"), Every: 150 * time.Millisecond},
	heartbeat:  Heartbeat{ID: 1, Instance: 2, Incarnation: 3, Epoch: 4, Stats: everyStat()},
	beat:       HeartbeatReply{Epoch: 7, Known: true, Every: time.Second},
	changes: []Change{
		{Kind: ChangeHandoff, From: ring.Incarnated{ID: 1, Incarnation: 2}, Partition: 7, Term: 8, Acting: []ring.Incarnated{{ID: 1, Incarnation: 2}, {ID: 3, Incarnation: 4}}},
		{Kind: ChangeEject, From: ring.Incarnated{ID: 1, Incarnation: 2}, Partition: 1023, Term: 9, Acting: []ring.Incarnated{{ID: 5, Incarnation: 6}}},
		{Kind: ChangeRestore, From: ring.Incarnated{ID: 1, Incarnation: 2}, Partition: 3, Term: 10},
	},
	results:  []ChangeResult{{Done: true, Epoch: 5}, {Epoch: 6, Reason: "no"}},
	confirms: []Confirm{{1, 2}, {3, 4}},
	status: Status{View: []byte("v"), Servers: []ServerStatus{{ID: 1, Age: -1, Epoch: 3, Stats: vocab.ServerStats{Keys: 5, LogDisk: 6, RequestBytesMax: 1 << 40, Checkpointing: true}},
		{ID: 2, Age: time.Second, Failures: 6, Held: time.UnixMilli(7000)}}},
	locks: vocab.Locks{Locks: []vocab.Lock{
		{Name: "l", Holders: []vocab.LockHolder{{Client: "a", Session: 9, Token: 4, Since: time.UnixMilli(5000), Lost: true}}, Waiters: []vocab.LockWaiter{{Client: "b", Shared: true}, {Client: "c\n", Session: 7}}},
		{Name: "m", Shared: true, Holders: []vocab.LockHolder{{Client: "b", Token: 5, Since: time.UnixMilli(1), Expires: time.UnixMilli(9)}}}},
		Deadlocks: [][]vocab.LockWait{{{Client: "a", Session: 1, Lock: "l", For: "b", Behind: true}, {Client: "b", Lock: "m", For: "a"}}}},
	events: []vocab.Event{{Number: 1, Epoch: 2, At: time.UnixMilli(3), Kind: "up", Server: 4, Detail: "h:1"}, {Number: 300, At: time.UnixMilli(-5), Kind: "granted"}},
	report: Report{Register: vocab.Register{ID: 3, Store: [16]byte{1}, Instance: 2, Incarnation: 5, Addr: "h:1", Weight: 1, Starts: []uint64{7}},
		View: []byte("view"), Epoch: 9, Token: 1 << 40},
}

// everyStat has another number in each field.
func everyStat() (s vocab.ServerStats) {
	fields, n := reflect.ValueOf(&s).Elem(), uint64(0)
	for i := range fields.NumField() {
		if f := fields.Field(i); f.Kind() == reflect.Bool {
			f.SetBool(true)
		} else {
			n++
			f.SetUint(n)
		}
	}
	return s
}

type leaderCodec struct {
	name  string
	bytes []byte
	want  any
	again func([]byte) (any, []byte, error)
}

func codecOf[T any](name string, v T, enc func([]byte, T) []byte, dec func([]byte) (T, error)) leaderCodec {
	return leaderCodec{name, enc(nil, v), v, func(b []byte) (any, []byte, error) {
		got, err := dec(b)
		if err != nil {
			return nil, nil, err
		}
		return got, enc(nil, got), nil
	}}
}

func leaderCodecs() []leaderCodec {
	s := &leaderSamples
	return []leaderCodec{
		codecOf("register", s.register, func(b []byte, v vocab.Register) []byte { return AppendRegister(b, &v) }, DecodeRegister),
		codecOf("registered", s.registered, func(b []byte, v Registered) []byte { return AppendRegistered(b, &v) }, DecodeRegistered),
		codecOf("heartbeat", s.heartbeat, func(b []byte, v Heartbeat) []byte { return AppendHeartbeat(b, &v) }, DecodeHeartbeat),
		codecOf("beat", s.beat, func(b []byte, v HeartbeatReply) []byte { return AppendHeartbeatReply(b, &v) }, DecodeHeartbeatReply),
		codecOf("changes", s.changes, AppendChanges, DecodeChanges),
		codecOf("results", s.results, AppendChangeResults, DecodeChangeResults),
		codecOf("confirms", s.confirms, AppendConfirms, DecodeConfirms),
		codecOf("status", s.status, func(b []byte, v Status) []byte { return AppendStatus(b, &v) }, DecodeStatus),
		codecOf("join", groupSamples.join, func(b []byte, v Join) []byte { return AppendJoin(b, &v) }, DecodeJoin),
		codecOf("joined", groupSamples.joined, func(b []byte, v Joined) []byte { return AppendJoined(b, &v) }, DecodeJoined),
		codecOf("hello", groupSamples.hello, func(b []byte, v PeerHello) []byte { return AppendPeerHello(b, &v) }, DecodePeerHello),
		codecOf("group", groupSamples.group, func(b []byte, v Group) []byte { return AppendGroup(b, &v) }, DecodeGroup),
		codecOf("locks", s.locks, func(b []byte, v vocab.Locks) []byte { return AppendLocks(b, &v) }, DecodeLocks),
		codecOf("events", s.events, AppendEvents, DecodeEvents),
		codecOf("report", s.report, func(b []byte, v Report) []byte { return AppendReport(b, &v) }, DecodeReport),
	}
}

var groupSamples = struct {
	join   Join
	joined Joined
	hello  PeerHello
	group  Group
}{
	join:   Join{Cluster: [16]byte{9}, ID: 3, Store: [16]byte{1, 2}, Addr: "h:1", Peers: []string{"h:1", "h:2"}},
	joined: Joined{Cluster: [16]byte{9}, ID: 4, Peers: []string{"h:1"}},
	hello:  PeerHello{Cluster: [16]byte{9}, From: 1, To: 2, Addr: "h:1"},
	group: Group{Cluster: [16]byte{9}, Self: 1, Head: 2, Awaited: []string{"h:4"}, Members: []GroupMember{
		{ID: 1, Addr: "h:1", Voter: true, Heard: true}, {ID: 5, Addr: "h:3", Replaces: 3, Lag: 1 << 40}}},
}

func TestLeaderCodecs(t *testing.T) {
	for _, c := range leaderCodecs() {
		got, _, err := c.again(c.bytes)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
		for cut := range len(c.bytes) {
			if _, _, err := c.again(c.bytes[:cut]); err == nil && (c.name != "heartbeat" || cut != len(briefHeartbeat())) {
				t.Errorf("%s: cut at %d was accepted", c.name, cut)
			}
		}
		if _, _, err := c.again(append(bytes.Clone(c.bytes), 0)); err == nil {
			t.Errorf("%s: a byte too many was accepted", c.name)
		}
		other := bytes.Clone(c.bytes)
		other[0] = 9
		if _, _, err := c.again(other); err == nil || !strings.Contains(err.Error(), "format version 9") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzLeaderCodecs(f *testing.F) {
	for _, c := range leaderCodecs() {
		f.Add(c.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, c := range leaderCodecs() {
			v, enc, err := c.again(b)
			if err != nil {
				continue
			}
			if again, _, err := c.again(enc); err != nil || !reflect.DeepEqual(v, again) {
				t.Fatalf("%s: %+v, then %+v, %v", c.name, v, again, err)
			}
		}
	})
}

// fakeLeader answers on a real socket as told.
type fakeLeader struct {
	ln     net.Listener
	answer func(args []string, w *Writer) bool // false: hang up without an answer
	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  []net.Conn
}

func newFakeLeader(t *testing.T, answer func(args []string, w *Writer) bool) *fakeLeader {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeLeader{ln: ln, answer: answer}
	f.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			f.wg.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(f.stop)
	return f
}

func (f *fakeLeader) stop() {
	_ = f.ln.Close()
	f.mu.Lock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *fakeLeader) serve(c net.Conn) {
	defer c.Close()
	r, w := NewReader(c, DefaultLimits), NewWriter(c)
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return
		}
		words := make([]string, len(args))
		for i, a := range args {
			words[i] = string(a)
		}
		if !f.answer(words, w) || w.Flush() != nil {
			return
		}
	}
}

func (f *fakeLeader) addr() string { return f.ln.Addr().String() }

func TestLeaderFollowsNotHeadAndSurvivesBreaks(t *testing.T) {
	var calls atomic.Int32
	head := newFakeLeader(t, func(args []string, w *Writer) bool {
		if calls.Add(1) < 3 {
			return false
		}
		w.WriteBulk(AppendHeartbeatReply(nil, &leaderSamples.beat))
		return true
	})
	follower := newFakeLeader(t, func(_ []string, w *Writer) bool {
		w.WriteError(CodeNotHead + " " + head.addr())
		return true
	})
	l := NewLeader([]string{follower.addr()}, nil)
	defer l.Close()
	got, err := l.Heartbeat(t.Context(), leaderSamples.heartbeat)
	if err != nil || got != leaderSamples.beat {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestLeaderUnreachableIsNamed(t *testing.T) {
	t.Parallel()
	addr, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	l := NewLeader([]string{addr, "localhost:1"}, nil)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = l.Status(ctx)
	if !errors.Is(err, ErrLeaderUnreachable) || !strings.Contains(err.Error(), addr) {
		t.Fatal(err)
	}
	if _, err := NewLeader(nil, nil).Locks(t.Context()); !errors.Is(err, ErrLeaderUnreachable) {
		t.Fatal(err)
	}
}

func TestLeaderGivesUpOnAHungOne(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l := NewLeader([]string{ln.Addr().String()}, nil)
	defer l.Close()
	began := time.Now()
	_, err = l.Confirm(t.Context(), leaderSamples.confirms)
	if !errors.Is(err, ErrLeaderUnreachable) || time.Since(began) > leaderPatience+2*leaderAnswerMax {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
}

func TestLeaderLongCallsBlockNobody(t *testing.T) {
	block := make(chan struct{})
	f := newFakeLeader(t, func(args []string, w *Writer) bool {
		switch args[0] {
		case CmdLockGet:
			<-block
			w.WriteArray(2)
			w.WriteInt(7)
			w.WriteInt(1)
		case CmdLockFree:
			w.WriteError(CodeNotHeld + " no")
		case CmdMember:
			w.WriteBulkString("s4")
		case CmdView:
			w.WriteNil()
		}
		return true
	})
	l := NewLeader([]string{f.addr()}, nil)
	defer l.Close()
	token := make(chan uint64, 1)
	go func() {
		n, _ := l.LockGet(t.Context(), LockAsk{Lock: "l", Client: "c", Wait: -1})
		token <- n
	}()
	if err := l.LockFree(t.Context(), "l", "c", 0); !IsCode(err, CodeNotHeld) {
		t.Fatal(err)
	}
	if id, err := l.Member(t.Context(), MemberLeave, "s4"); id != 4 || err != nil {
		t.Fatal(id, err)
	}
	base := &ring.View{Epoch: 3}
	if v, err := l.View(t.Context(), base, time.Millisecond); v != base || err != nil {
		t.Fatal(v, err)
	}
	close(block)
	if n := <-token; n != 7 {
		t.Fatal(n)
	}
}

// TestLeaderLeavesADeposedHead has a long call refused by a view leader that others
// of this client have left already: it must not be asked again.
func TestLeaderLeavesADeposedHead(t *testing.T) {
	var asked atomic.Int32
	moved := make(chan struct{})
	deposed := newFakeLeader(t, func(args []string, w *Writer) bool {
		if args[0] == CmdView {
			asked.Add(1)
			<-moved
		}
		w.WriteError(CodeNotHead)
		return true
	})
	head := newFakeLeader(t, func(args []string, w *Writer) bool {
		switch args[0] {
		case CmdHeartbeat:
			w.WriteBulk(AppendHeartbeatReply(nil, &leaderSamples.beat))
		default:
			w.WriteNil()
		}
		return true
	})
	l := NewLeader([]string{deposed.addr(), head.addr()}, nil)
	defer l.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := l.View(t.Context(), &ring.View{Epoch: 3}, time.Minute)
		ended <- err
	}()
	for asked.Load() == 0 {
		runtime.Gosched()
	}
	if _, err := l.Heartbeat(t.Context(), leaderSamples.heartbeat); err != nil {
		t.Fatal(err)
	}
	close(moved)
	if err := <-ended; err != nil || asked.Load() != 1 {
		t.Fatalf("%v; the deposed one was asked %d times", err, asked.Load())
	}
}

// TestLeaderLeavesAConnectionThatCameLate has the shared connection made to a view
// leader that others of this client have left meanwhile.
func TestLeaderLeavesAConnectionThatCameLate(t *testing.T) {
	var asked atomic.Int32
	head := newFakeLeader(t, func(_ []string, w *Writer) bool {
		w.WriteBulk(AppendHeartbeatReply(nil, &leaderSamples.beat))
		return true
	})
	follower := newFakeLeader(t, func(_ []string, w *Writer) bool {
		asked.Add(1)
		w.WriteError(CodeNotHead + " " + head.addr())
		return true
	})
	var l *Leader
	l = NewLeader([]string{follower.addr(), head.addr()}, func(ctx context.Context, network, addr string) (net.Conn, error) {
		l.moveOn(follower.addr(), head.addr()) // as another call does
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	})
	defer l.Close()
	if _, err := l.Heartbeat(t.Context(), leaderSamples.heartbeat); err != nil || asked.Load() > 1 {
		t.Fatalf("%v; the one left was asked %d times", err, asked.Load())
	}
}

func TestLeaderCloseEndsCalls(t *testing.T) {
	asked := make(chan struct{})
	block := make(chan struct{})
	f := newFakeLeader(t, func([]string, *Writer) bool {
		close(asked)
		<-block
		return false
	})
	defer close(block)
	l := NewLeader([]string{f.addr()}, nil)
	ended := make(chan error, 1)
	go func() {
		_, err := l.LockGet(t.Context(), LockAsk{Lock: "l", Client: "c", Wait: -1})
		ended <- err
	}()
	<-asked
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrLeaderUnreachable) {
		t.Fatal(err)
	}
}
