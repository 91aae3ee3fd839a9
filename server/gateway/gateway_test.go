package gateway

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/ring"
)

// fakeServer is the only server of a cluster: it answers VR.VIEW, and all else as told,
// by the bytes of one reply for each command; "" hangs up.
type fakeServer struct {
	addr   string
	answer func(command string, n int) string

	mu    sync.Mutex
	asked []string // commands but VR.VIEW
}

func startFake(t *testing.T, answer func(command string, n int) string) *fakeServer {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{addr: lis.Addr().String(), answer: answer}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := lis.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { f.serve(nc) })
		}
	})
	t.Cleanup(func() { lis.Close(); serving.Wait() })
	return f
}

func (f *fakeServer) serve(nc net.Conn) {
	defer nc.Close()
	v := &ring.View{Cluster: [16]byte{7}, Epoch: 1, LeaseTTL: time.Second, MinCopies: 1,
		Members:    []ring.Member{{ID: 1, Incarnation: 1, Addr: f.addr, Weight: 1, Status: ring.In, Up: true}},
		Partitions: []ring.Partition{{Term: 1, MinCopies: 1, Acting: []ring.ServerID{1}}}}
	r, w := wire.NewReader(nc, wire.DefaultLimits), wire.NewWriter(nc)
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return
		}
		if string(args[0]) == wire.CmdViewOf {
			if string(args[1]) == "0" {
				w.WriteBulk(ring.AppendView(nil, v, 0))
			} else {
				w.WriteNil()
			}
		} else {
			var words []string
			for _, a := range args {
				words = append(words, string(a))
			}
			reply := f.next(strings.Join(words, " "))
			if reply == "" {
				return
			}
			w.WriteRaw([]byte(reply))
		}
		if w.Flush() != nil {
			return
		}
	}
}

func (f *fakeServer) next(command string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, command)
	return f.answer(command, len(f.asked))
}

// count says how often a command was asked for.
func (f *fakeServer) count(command string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.asked {
		if c == command {
			n++
		}
	}
	return n
}

// dialGateway starts a gateway to a server and connects to it.
func dialGateway(t *testing.T, f *fakeServer) *wire.Conn {
	t.Helper()
	conn, err := wire.Dial(t.Context(), startGateway(t, f).Addr(), (&net.Dialer{}).DialContext, wire.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func startGateway(t *testing.T, f *fakeServer) *Gateway {
	t.Helper()
	c, err := route.Open(t.Context(), route.Options{Servers: []string{f.addr}, ViewCache: route.NoViewCache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := Start(context.Background(), Options{Client: c, Listener: lis})
	t.Cleanup(func() { g.Close() })
	return g
}

func do(t *testing.T, conn *wire.Conn, command string) (wire.Value, error) {
	t.Helper()
	var args [][]byte
	for word := range strings.FieldsSeq(command) {
		args = append(args, []byte(word))
	}
	return conn.Do(t.Context(), args...)
}

// TestLostExec: a transaction that writes, and whose answer was lost, is not asked for
// again, watched or not: it may be done, and nobody would know. One that only reads is.
func TestLostExec(t *testing.T) {
	for _, tt := range []struct {
		commands string
		unknown  bool
	}{
		{"MULTI, INCR k", true},
		{"MULTI, GET k, APPEND k v, GET k", true},
		{"WATCH k, MULTI, INCR k", true},
		{"MULTI, GET k", false},
	} {
		t.Run(tt.commands, func(t *testing.T) {
			lost := false
			f := startFake(t, func(command string, _ int) string {
				switch {
				case command == "EXEC" && !lost:
					lost = true
					return ""
				case command == "EXEC":
					return "*1\r\n:1\r\n"
				}
				return "+OK\r\n"
			})
			conn := dialGateway(t, f)
			for command := range strings.SplitSeq(tt.commands, ", ") {
				if _, err := do(t, conn, command); err != nil {
					t.Fatalf("%s: %v", command, err)
				}
			}
			v, err := do(t, conn, "EXEC")
			if unknown := wire.IsCode(err, wire.CodeUnknownOutcome); unknown != tt.unknown || !unknown && err != nil {
				t.Errorf("%v, %v", v, err)
			}
			if n := f.count("EXEC"); tt.unknown && n != 1 {
				t.Errorf("asked for %d times", n)
			}
		})
	}
}

// TestKeysToTheLastSlot: KEYS reads on where a page ends within the last slot of the
// run that it asks for.
func TestKeysToTheLastSlot(t *testing.T) {
	page := func(next wire.Cursor, name string) string {
		text := strconv.FormatUint(uint64(next), 10)
		return "*2\r\n$" + strconv.Itoa(len(text)) + "\r\n" + text + "\r\n*1\r\n$1\r\n" + name + "\r\n"
	}
	last := wire.CursorOf(ring.Slots-1) + 5
	f := startFake(t, func(command string, _ int) string {
		if strings.HasPrefix(command, wire.CmdScan+" 0 ") {
			return page(last, "a")
		}
		return page(0, "b")
	})
	v, err := do(t, dialGateway(t, f), "KEYS *")
	var names []string
	for _, name := range v.Array {
		names = append(names, name.Text())
	}
	if err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("%q, %v", names, err)
	}
}

// TestPartsThatFail: of a command that is carried out in parts, one of which fails, a
// read tells the failure, and a write that the outcome is open if another part is done.
func TestPartsThatFail(t *testing.T) {
	const corrupt = "-CORRUPT the stored value fails its checksum\r\n"
	for _, tt := range []struct {
		command string
		answers map[string]string // to what ends so
		want    string            // code of the error; "": none
		asked   int
	}{
		{"MSET a 1 b 2", map[string]string{"SET a 1": "+OK\r\n", "SET b 2": "+OK\r\n"}, "", 2},
		{"MSET a 1 b 2", map[string]string{"SET a 1": "+OK\r\n", "SET b 2": corrupt}, wire.CodeUnknownOutcome, 2},
		{"MSET a 1 b 2", map[string]string{"SET a 1": corrupt, "SET b 2": "+OK\r\n"}, wire.CodeUnknownOutcome, 2},
		{"MSET a 1 b 2", map[string]string{"SET a 1": corrupt, "SET b 2": corrupt}, wire.CodeCorrupt, 2},
		{"DEL a b", map[string]string{"DEL a": ":0\r\n", "DEL b": corrupt}, wire.CodeUnknownOutcome, 2},
		{"MGET a b", map[string]string{"GET a": "$1\r\nx\r\n", "GET b": corrupt}, wire.CodeCorrupt, 2},
		{"EXISTS a b", map[string]string{"EXISTS a": ":1\r\n", "EXISTS b": corrupt}, wire.CodeCorrupt, 2},
		{"FLUSHALL", map[string]string{"1 VR.WHOLE 1 FLUSHALL": "+AGAIN\r\n", "2 VR.WHOLE 1 FLUSHALL": "+OK\r\n"}, "", 2},
		{"FLUSHALL", map[string]string{"1 VR.WHOLE 1 FLUSHALL": "+AGAIN\r\n", "2 VR.WHOLE 1 FLUSHALL": corrupt}, wire.CodeUnknownOutcome, 2},
		{"FLUSHALL", map[string]string{"1 VR.WHOLE 1 FLUSHALL": corrupt}, wire.CodeCorrupt, 1},
		{"DBSIZE", map[string]string{"1 VR.WHOLE 1 DBSIZE": "+AGAIN\r\n", "2 VR.WHOLE 1 DBSIZE": ":3\r\n"}, "", 2},
	} {
		asked := 0
		f := startFake(t, func(command string, n int) string {
			asked++
			for end, answer := range tt.answers {
				if strings.HasSuffix(strconv.Itoa(n)+" "+command, end) {
					return answer
				}
			}
			return "-ERR not expected\r\n"
		})
		v, err := do(t, dialGateway(t, f), tt.command)
		if tt.want == "" && err != nil || tt.want != "" && !wire.IsCode(err, tt.want) {
			t.Errorf("%s, %q: %v, %v, want %q", tt.command, tt.answers, v, err, tt.want)
		}
		if asked != tt.asked {
			t.Errorf("%s: asked for %d parts, want %d", tt.command, asked, tt.asked)
		}
	}
}
