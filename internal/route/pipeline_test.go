package route

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/tests/fake"
)

// startPipeline opens a pipeline to a server that answers as told, with its
// connections open. What it was asked since is in asked.
func startPipeline(t *testing.T, answer func(command string, asked []string) string) (p *Pipeline, asked func() []string) {
	t.Helper()
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	var all []string
	f.Plain = func(args []string) string {
		if args[0] == wire.CmdOnce {
			args = args[2:]
		}
		command := strings.Join(args, " ")
		if strings.HasSuffix(command, "warm up") {
			return "+OK\r\n"
		}
		all = append(all, command)
		return answer(command, all)
	}
	p = openSeeded(t, f.Addr).NewPipeline(soon, 1<<20)
	for _, command := range []string{"SET warm up", "GET warm up"} {
		wants(t, send(t, p, false, command), "+OK\r\n", nil)
	}
	return p, func() []string {
		f.Lock()
		defer f.Unlock()
		return slices.Clone(all)
	}
}

// send sends a command whose slot is 0, whatever its key.
func send(t *testing.T, p *Pipeline, once bool, command string) *Call {
	t.Helper()
	cmd := Command{Once: once, Mutation: !strings.HasPrefix(command, "GET")}
	for word := range strings.FieldsSeq(command) {
		cmd.Args = append(cmd.Args, []byte(word))
	}
	return p.Send(t.Context(), cmd)
}

func wants(t *testing.T, call *Call, want string, kind error) {
	t.Helper()
	raw, err := call.Wait(t.Context())
	if string(raw) != want || !errors.Is(err, kind) || (kind == nil) != (err == nil) {
		t.Errorf("%s: %q, %v; want %q, %v", call.op.name, raw, err, want, kind)
	}
}

const refused = "-UNAVAILABLE for a while\r\n"

// What was refused is sent again, and what came after it in its slot after it.
func TestPipelineRepeatsInOrder(t *testing.T) {
	p, asked := startPipeline(t, func(_ string, all []string) string {
		if len(all) <= 3 {
			return refused
		}
		return "+OK\r\n"
	})
	first, second, third := send(t, p, false, "SET k 1"), send(t, p, false, "SET k 2"), send(t, p, false, "GET k")
	wants(t, first, "+OK\r\n", nil)
	fourth := send(t, p, false, "SET k 4")
	wants(t, second, "+OK\r\n", nil)
	wants(t, third, "+OK\r\n", nil)
	wants(t, fourth, "+OK\r\n", nil)
	if got := asked(); !slices.Equal(got[3:], []string{"SET k 1", "SET k 2", "GET k", "SET k 4"}) {
		t.Errorf("asked %q", got)
	}
}

// What was refused is not sent again when a later command of its slot was carried
// out: it would come after it.
func TestPipelineKeepsOrder(t *testing.T) {
	p, asked := startPipeline(t, func(command string, all []string) string {
		if command == "SET k 1" {
			return refused
		}
		return "+OK\r\n"
	})
	first, second := send(t, p, true, "SET k 1"), send(t, p, true, "SET k 2")
	wants(t, first, "", ErrUnavailable)
	wants(t, second, "+OK\r\n", nil)
	if got := asked(); len(got) != 2 {
		t.Errorf("asked %q", got)
	}
}

// Nor is it when a later read of its slot was answered, which has not seen it.
func TestPipelineKeepsOrderOfReads(t *testing.T) {
	p, asked := startPipeline(t, func(command string, all []string) string {
		if len(all) == 1 {
			return refused
		}
		return "$-1\r\n"
	})
	write, read := send(t, p, true, "SET k 1"), send(t, p, false, "GET k")
	wants(t, write, "", ErrUnavailable)
	wants(t, read, "$-1\r\n", nil)
	if got := asked(); !slices.Equal(got, []string{"SET k 1", "GET k"}) {
		t.Errorf("asked %q", got)
	}
}

// When the connection breaks, a mutation is sent again that carries a request id
// and is the only one under way in its slot; others may have come before it.
func TestPipelineBroken(t *testing.T) {
	hangUpOnce := func(_ string, all []string) string {
		if len(all) == 1 {
			return ""
		}
		return "+OK\r\n"
	}
	t.Run("with a request id", func(t *testing.T) {
		p, asked := startPipeline(t, hangUpOnce)
		wants(t, send(t, p, true, "SET k 1"), "+OK\r\n", nil)
		if got := asked(); len(got) != 2 {
			t.Errorf("asked %q", got)
		}
	})
	t.Run("without", func(t *testing.T) {
		p, asked := startPipeline(t, hangUpOnce)
		wants(t, send(t, p, false, "SETRANGE k 1 x"), "", ErrUnknownOutcome)
		if got := asked(); len(got) != 1 {
			t.Errorf("asked %q", got)
		}
	})
	t.Run("two", func(t *testing.T) {
		bothSent := make(chan struct{})
		p, asked := startPipeline(t, func(command string, all []string) string {
			<-bothSent
			return hangUpOnce(command, all)
		})
		first, second := send(t, p, true, "SET k 1"), send(t, p, true, "SET k 2")
		close(bothSent)
		wants(t, first, "", ErrUnknownOutcome)
		wants(t, second, "+OK\r\n", nil)
		if got := asked(); got[len(got)-1] != "SET k 2" || slices.Contains(got[1:], "SET k 1") {
			t.Errorf("asked %q", got)
		}
	})
	t.Run("a read", func(t *testing.T) {
		p, _ := startPipeline(t, hangUpOnce)
		wants(t, send(t, p, true, "SET k 1"), "+OK\r\n", nil)
		wants(t, send(t, p, false, "GET k"), "+OK\r\n", nil)
	})
}

// Answers that are not waited for take no more than they may: the rest is asked for
// again in its turn.
func TestPipelineBudget(t *testing.T) {
	const size = 400 << 10
	large := "$409600\r\n" + strings.Repeat("x", size) + "\r\n"
	p, asked := startPipeline(t, func(string, []string) string { return large })
	var calls []*Call
	for range 10 {
		calls = append(calls, send(t, p, false, "GET k"))
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(soon)
	for slices.ContainsFunc(calls, func(c *Call) bool { return !c.Ready() }) {
		select {
		case <-deadline:
			t.Fatal("not all were answered")
		case <-tick.C:
		}
	}
	for _, call := range calls {
		raw, err := call.Wait(t.Context())
		if string(raw) != large || err != nil {
			t.Fatalf("%d bytes, %v", len(raw), err)
		}
	}
	if n := len(asked()); n <= 10 {
		t.Errorf("asked %d times: nothing was put off", n)
	}
}

// A transaction on a connection of its own has done nothing only where a server says
// so: one that is not answered may have taken effect.
func TestPinned(t *testing.T) {
	for _, tt := range []struct {
		reply string
		want  error
	}{{"", ErrUnknownOutcome}, {"-UNKNOWNOUTCOME may be\r\n", nil}, {refused, ErrUnavailable}, {"*0\r\n", nil}} {
		p, _ := startPipeline(t, func(command string, _ []string) string {
			if command == "EXEC" {
				return tt.reply
			}
			return "+OK\r\n"
		})
		pinned, _, err := p.c.Pin(t.Context(), Command{Args: [][]byte{[]byte("WATCH"), []byte("k")}})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := pinned.Do(t.Context(), wire.AppendCommand(nil, []byte("EXEC")), 1)
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || err == nil && string(raw) != tt.reply {
			t.Errorf("answered %q: %q, %v; want %v", tt.reply, raw, err, tt.want)
		}
		pinned.Close()
	}
}
