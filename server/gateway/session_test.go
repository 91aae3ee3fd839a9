package gateway

import (
	"maps"
	"net"
	"runtime"
	"strings"
	"testing"

	"viewring/internal/tally"
	"viewring/internal/wire"
	"viewring/server/redis"
)

// TestRepliesInTurn: what a session is asked for is told as it was when it was asked,
// however much comes behind it before the answer is written.
func TestRepliesInTurn(t *testing.T) {
	for commands, want := range map[string]string{
		"GET k, CLIENT SETNAME a, CLIENT GETNAME, CLIENT SETNAME b, CLIENT GETNAME": "v OK a OK b",
		"GET k, HELLO 3 SETNAME c, CLIENT GETNAME, RESET, CLIENT GETNAME":           "v  c RESET ",
		"GET k, PING, ECHO x, PING y":                                               "v PONG x y",
	} {
		all := make(chan struct{}) // closed when the gateway has read all
		g := startGateway(t, startFake(t, func(string, int) string {
			<-all
			return "$1\r\nv\r\n"
		}))
		nc, err := net.Dial("tcp", g.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		list := strings.Split(commands, ", ")
		if _, err := nc.Write([]byte(strings.Join(list, "\r\n") + "\r\n")); err != nil {
			t.Fatal(err)
		}
		for g.stats.commands.Load() < uint64(len(list)) {
			runtime.Gosched()
		}
		close(all)
		reader := wire.NewReader(nc, wire.DefaultLimits)
		var replies []string
		for range list {
			v, err := reader.ReadValue()
			if err != nil {
				t.Fatal(err)
			}
			replies = append(replies, v.Text())
		}
		if got := strings.Join(replies, " "); got != want {
			t.Errorf("%s: %q, want %q", commands, got, want)
		}
	}
}

// TestAsServer: a gateway says of the session what a server says.
func TestAsServer(t *testing.T) {
	f := startFake(t, func(command string, _ int) string { return "-ERR not expected: " + command + "\r\n" })
	conn := dialGateway(t, f)
	for command, want := range map[string]string{
		"HELLO x":                   "ERR Protocol version is not an integer or out of range",
		"HELLO 2 FOO":               "ERR Syntax error in HELLO option 'FOO'",
		"HELLO 2 SETNAME d FOO":     "ERR Syntax error in HELLO option 'FOO'",
		"CLIENT GETNAME":            "",
		"CLIENT SETINFO x y":        "ERR Unrecognized option 'x'",
		"CLIENT SETINFO lib-name y": "OK",
		"CLIENT NO-EVICT x":         "ERR syntax error",
		"CLIENT LIST TYPE master":   "",
		"CLIENT LIST ID x":          "ERR Invalid client ID",
		"CLIENT NOPE":               "ERR unknown subcommand 'NOPE'. Try CLIENT HELP.",
		"CLIENT ID x":               "ERR wrong number of arguments for 'client|id' command",
		"SELECT 0":                  "OK",
		"SELECT +0":                 redis.ErrNotInteger,
		"SELECT 1":                  "ERR DB index is out of range",
		"PING a b":                  "ERR wrong number of arguments for 'ping' command",
		"EXEC x":                    "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
		"INFO nosuch":               "",
		"COMMAND COUNT x":           "ERR wrong number of arguments for 'command|count' command",
		"SUBSCRIBE a":               "ERR a gateway does not tell of changes: ask the servers themselves for SUBSCRIBE",
		"PUNSUBSCRIBE":              "ERR a gateway does not tell of changes: ask the servers themselves for PUNSUBSCRIBE",
		"PUBSUB NUMPAT":             "ERR a gateway does not tell of changes: ask the servers themselves for PUBSUB NUMPAT",
		"CLIENT TRACKING on":        "ERR a gateway does not tell of changes: ask the servers themselves for CLIENT TRACKING",
		"CLIENT CACHING yes":        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
		"PUBLISH a b":               "ERR clients can't send messages here: channels tell of changes of keys, __keyspace@0__:<key> and __keyevent@0__:<event>",
	} {
		if v, err := do(t, conn, command); v.Text() != want {
			t.Errorf("%s: %q, %v, want %q", command, v.Text(), err, want)
		}
	}
	v, err := do(t, conn, "INFO server")
	if got := v.Text(); err != nil || !strings.Contains(got, "redis_version:"+redis.Version+"\r\n") || strings.Contains(got, "# Clients") {
		t.Errorf("INFO server: %q, %v", got, err)
	}
	if v, err := do(t, conn, "HELLO"); err != nil || len(v.Array) != 14 || v.Array[3].Text() != redis.Version || v.Array[9].Text() != redis.ModeStandalone {
		t.Errorf("HELLO: %+v, %v", v, err)
	}
}

// TestCounted: each command counts once, with what it came to: at the gateway, at a server, or by no answer.
func TestCounted(t *testing.T) {
	f := startFake(t, func(command string, _ int) string {
		switch command {
		case "GET there":
			return "$1\r\nx\r\n"
		case "GET absent":
			return "$-1\r\n"
		case "GETRANGE there a b":
			return "-" + redis.ErrNotInteger + "\r\n"
		}
		return "-BUSY too many requests\r\n"
	})
	g := startGateway(t, f)
	conn, err := wire.Dial(t.Context(), g.Addr(), (&net.Dialer{}).DialContext, wire.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, command := range []string{"GET there", "GET absent", "GETRANGE there a b", "GET", "NOSUCH", "AUTH x", "PING", "MULTI", "DISCARD", "SLOWLOG LEN"} {
		_, _ = do(t, conn, command) // what it comes to is below
	}
	counted := map[string]uint64{}
	g.monitor.Each(func(name string, n *tally.OpCounts) {
		for i, k := range n.Outcomes {
			if k > 0 {
				counted[name+" "+redis.Ended(i).String()] = k
			}
		}
	})
	want := map[string]uint64{"get ok": 1, "get absent": 1, "get err": 1, "getrange err": 1, "other err": 1, "auth err": 1, "ping ok": 1, "multi ok": 1, "discard ok": 1}
	for what, n := range want {
		if counted[what] != n {
			t.Errorf("%s: %d, want %d", what, counted[what], n)
		}
	}
	if t.Failed() {
		t.Log(counted)
	}
}

// TestTableIsServed: every row of the table that a gateway carries out itself has a way to
// be, and nothing else is in its hands.
func TestTableIsServed(t *testing.T) {
	left := maps.Clone(hosted)
	for _, row := range redis.Table {
		for _, cmd := range append([]*redis.Command{row}, row.Subs...) {
			_, ours := hosted[cmd.Name]
			delete(left, cmd.Name)
			here := cmd.Gateway.Way == redis.Here || cmd.Gateway.Way == redis.HereNow
			if want := here && !cmd.Talks() && len(cmd.Subs) == 0; ours != want {
				t.Errorf("%s is in our hands: %v, want %v", cmd.Name, ours, want)
			}
		}
	}
	for name := range left {
		t.Errorf("there is no %s", name)
	}
}
