package gateway

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"viewring/client"
	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/server/redis"
)

// ownCommands are those that the gateway answers, or that are about the whole
// cluster, by their names in capitals. Filled once: some of them list it.
var ownCommands map[string]func(s *session, args [][]byte) error

func init() {
	ownCommands = map[string]func(s *session, args [][]byte) error{
		"PING": (*session).runPing, "ECHO": (*session).runEcho, "TIME": (*session).runTime,
		"QUIT": (*session).runQuit, "RESET": (*session).runReset,
		"AUTH": (*session).runAuth, "HELLO": (*session).runHello, "SELECT": (*session).runSelect,
		"CLIENT": (*session).runClient, "INFO": (*session).runInfo,
		"COMMAND": (*session).runAnywhere, "CONFIG": (*session).runAnywhere,
		"CLUSTER": (*session).runNoCluster, "READONLY": (*session).runNoCluster,
		"READWRITE": (*session).runNoCluster, "ASKING": (*session).runNoCluster,
		"SCAN": (*session).runScan, "KEYS": (*session).runKeys, "RANDOMKEY": (*session).runRandomKey,
		"DBSIZE": (*session).runDBSize, "FLUSHALL": (*session).runFlush, "FLUSHDB": (*session).runFlush,
		"WAIT":  (*session).runWait,
		"MULTI": (*session).runMulti, "EXEC": (*session).runExec, "DISCARD": (*session).runDiscard,
		"WATCH": (*session).runWatch, "UNWATCH": (*session).runUnwatch,
	}
}

// transactions are the commands that are carried out inside MULTI, not queued.
var transactions = map[string]bool{"MULTI": true, "EXEC": true, "DISCARD": true, "WATCH": true, "QUIT": true, "RESET": true}

func (s *session) runPing(args [][]byte) error {
	switch len(args) {
	case 1:
		s.reply(func(w *wire.Writer) { w.WriteSimple("PONG") })
	case 2:
		return s.runEcho(args)
	default:
		s.replyError(redis.ArityError(redis.Lookup("ping")))
	}
	return nil
}

func (s *session) runEcho(args [][]byte) error {
	text := string(args[1])
	s.reply(func(w *wire.Writer) { w.WriteBulkString(text) })
	return nil
}

func (s *session) runTime([][]byte) error {
	s.reply(func(w *wire.Writer) {
		now := time.Now()
		w.WriteArray(2)
		w.WriteBulkString(strconv.FormatInt(now.Unix(), 10))
		w.WriteBulkString(strconv.Itoa(now.Nanosecond() / 1000))
	})
	return nil
}

func (s *session) runQuit([][]byte) error {
	s.replyOK()
	return errQuit
}

func (s *session) runReset([][]byte) error {
	s.tx.end()
	s.resp3, s.trusted = false, !s.g.opts.Secure.WantsPassword()
	s.info.name.Store(nil)
	s.reply(func(w *wire.Writer) {
		w.SetRESP3(false)
		w.WriteSimple("RESET")
	})
	return nil
}

func (s *session) runSelect(args [][]byte) error {
	switch n, err := strconv.Atoi(string(args[1])); {
	case err != nil:
		s.replyError(wire.CodeErr + " value is not an integer or out of range")
	case n != 0:
		s.replyError(wire.CodeErr + " DB index is out of range")
	default:
		s.replyOK()
	}
	return nil
}

func (s *session) runAuth(args [][]byte) error {
	if text := s.g.opts.Secure.Auth(args[1:]); text != "" {
		s.replyError(text)
		return nil
	}
	s.trusted = true
	s.replyOK()
	return nil
}

// runHello is HELLO [2|3 [AUTH user password] [SETNAME name]].
func (s *session) runHello(args [][]byte) error {
	resp3 := s.resp3
	if len(args) > 1 {
		switch string(args[1]) {
		case "2", "3":
			resp3 = args[1][0] == '3'
		default:
			s.replyError("NOPROTO unsupported protocol version")
			return nil
		}
	}
	if len(args) > 2 && !s.helloOptions(args[2:]) {
		return nil
	}
	if !s.trusted {
		s.replyError(secure.HelloNoAuth)
		return nil
	}
	s.resp3 = resp3
	s.reply(func(w *wire.Writer) {
		w.SetRESP3(resp3)
		w.WriteMap(7)
		writePair := func(key, value string) {
			w.WriteBulkString(key)
			w.WriteBulkString(value)
		}
		writePair("server", "redis")
		writePair("version", "7.2.0")
		w.WriteBulkString("proto")
		w.WriteInt(int64(2 + btoi(resp3)))
		w.WriteBulkString("id")
		w.WriteInt(int64(s.id))
		writePair("mode", "standalone")
		writePair("role", "master")
		w.WriteBulkString("modules")
		w.WriteArray(0)
	})
	return nil
}

// helloOptions carries out the options of HELLO, or answers why not.
func (s *session) helloOptions(args [][]byte) bool {
	for len(args) > 0 {
		switch option := strings.ToUpper(string(args[0][:min(len(args[0]), nameMax)])); {
		case option == "AUTH" && len(args) > 2:
			if text := s.g.opts.Secure.Auth(args[1:3]); text != "" {
				s.replyError(text)
				return false
			}
			s.trusted = true
			args = args[3:]
		case option == "SETNAME" && len(args) > 1:
			if !s.rename(args[1]) {
				return false
			}
			args = args[2:]
		default:
			s.replyError(fmt.Sprintf("%s Syntax error in HELLO option '%.128s'", wire.CodeErr, args[0]))
			return false
		}
	}
	return true
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// rename gives the connection a name, or answers why not.
func (s *session) rename(name []byte) bool {
	if slices.ContainsFunc(name, func(c byte) bool { return c < '!' || c > '~' }) {
		s.replyError(wire.CodeErr + " Client names cannot contain spaces, newlines or special characters.")
		return false
	}
	text := string(name)
	s.info.name.Store(&text)
	return true
}

func (s *session) runClient(args [][]byte) error {
	sub := strings.ToUpper(string(args[1][:min(len(args[1]), nameMax)]))
	switch {
	case sub == "ID" && len(args) == 2:
		s.reply(func(w *wire.Writer) { w.WriteInt(int64(s.id)) })
	case sub == "GETNAME" && len(args) == 2:
		s.reply(func(w *wire.Writer) {
			if name := s.info.name.Load(); name != nil && *name != "" {
				w.WriteBulkString(*name)
			} else {
				w.WriteNil()
			}
		})
	case sub == "SETNAME" && len(args) == 3:
		if s.rename(args[2]) {
			s.replyOK()
		}
	case sub == "SETINFO" && len(args) == 4:
		text := string(args[3])
		switch strings.ToUpper(string(args[2])) {
		case "LIB-NAME":
			s.info.lib.Store(&text)
		case "LIB-VER":
			s.info.version.Store(&text)
		}
		s.replyOK()
	case (sub == "NO-EVICT" || sub == "NO-TOUCH") && len(args) == 3:
		s.replyOK()
	case sub == "INFO" && len(args) == 2:
		s.reply(func(w *wire.Writer) { w.WriteBulkString(s.describe()) })
	case sub == "LIST":
		s.reply(func(w *wire.Writer) {
			var b strings.Builder
			for _, o := range s.g.sessions() {
				b.WriteString(o.describe())
			}
			w.WriteBulkString(b.String())
		})
	default:
		s.replyError(fmt.Sprintf("%s unknown subcommand or wrong number of arguments for '%.128s'. Try CLIENT HELP.", wire.CodeErr, args[1]))
	}
	return nil
}

// describe is the session's line of CLIENT LIST.
func (s *session) describe() string {
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	return fmt.Sprintf("id=%d addr=%s laddr=%s name=%s age=%d db=0 tot-cmds=%d lib-name=%s lib-ver=%s\n", s.id, s.nc.RemoteAddr(), s.nc.LocalAddr(),
		text(s.info.name.Load()), int(time.Since(s.since).Seconds()), s.info.commands.Load(), text(s.info.lib.Load()), text(s.info.version.Load()))
}

// runAnywhere passes a command on that every server answers alike.
func (s *session) runAnywhere(args [][]byte) error {
	s.pushCall(s.pipe.Send(s.ctx, client.Command{Args: args, RESP3: s.resp3}), 0)
	return nil
}

func (s *session) runNoCluster([][]byte) error {
	s.replyError(wire.CodeErr + " This instance has cluster support disabled")
	return nil
}

func (s *session) runInfo([][]byte) error {
	s.now(func(_ context.Context, w *wire.Writer) { w.WriteBulkString(s.g.info()) })
	return nil
}

// info is INFO.
func (g *Gateway) info() string {
	c, st := g.opts.Client.Stats(), &g.stats
	v := g.opts.Client.View()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var b strings.Builder
	section := func(name string, pairs ...any) {
		fmt.Fprintf(&b, "# %s\r\n", name)
		for i := 0; i < len(pairs); i += 2 {
			fmt.Fprintf(&b, "%v:%v\r\n", pairs[i], pairs[i+1])
		}
	}
	section("Server", "redis_version", "7.2.0", "redis_mode", "standalone", "server_name", "viewring gateway",
		"uptime_in_seconds", int(time.Since(g.began).Seconds()))
	section("Clients", "connected_clients", len(g.sessions()), "maxclients", g.opts.Bounds.Connections)
	section("Memory", "used_memory", m.HeapAlloc, "used_memory_rss", m.Sys)
	section("Stats", "total_connections_received", st.connections.Load(), "rejected_connections", st.refused.Load(),
		"total_commands_processed", st.commands.Load(), "client_output_buffer_limit_disconnections", st.slow.Load(),
		"client_query_buffer_limit_disconnections", st.tooLarge.Load(), "pipeline_waits", st.pipelines.Load(), "commands_without_answer", st.failures.Load(),
		"requests_to_servers", c.Requests, "retries_to_servers", c.Retries, "longest_request_ms", c.Longest.Milliseconds())
	section("Replication", "role", "master")
	section("Cluster", "cluster_enabled", 0)
	section("Viewring", "epoch", v.Epoch, "servers", len(v.Members), "partitions", len(v.Partitions))
	return b.String()
}
