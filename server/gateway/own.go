package gateway

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"viewring/client"
	"viewring/internal/wire"
	"viewring/server/redis"
)

// hosted are the commands that take more of a gateway than a session or the servers of
// some keys, by their names; a container's are under its own. Filled once: some of them
// list it.
var hosted map[string]func(s *session, args [][]byte) error

func init() {
	hosted = map[string]func(s *session, args [][]byte) error{
		"quit": (*session).runQuit, "reset": (*session).runReset, "info": (*session).runInfo, "config": (*session).runAnywhere,
		"cluster": (*session).runNoCluster, "readonly": (*session).runNoCluster, "readwrite": (*session).runNoCluster, "asking": (*session).runNoCluster,
		"scan": (*session).runScan, "keys": (*session).runKeys, "randomkey": (*session).runRandomKey,
		"dbsize": (*session).runDBSize, "flushall": (*session).runFlush, "flushdb": (*session).runFlush,
		"wait":  (*session).runWait,
		"multi": (*session).runMulti, "exec": (*session).runExec, "discard": (*session).runDiscard,
		"watch": (*session).runWatch, "unwatch": (*session).runUnwatch,
	}
}

// transactions are the commands that are carried out inside MULTI, not queued.
var transactions = map[string]bool{"multi": true, "exec": true, "discard": true, "watch": true, "quit": true, "reset": true}

// say answers a command that is about the session alone.
func (s *session) say(cmd *redis.Command, args [][]byte) {
	v := cmd.Say(s.client, args)
	resp3 := s.client.RESP3()
	s.reply(func(w *wire.Writer) {
		w.SetRESP3(resp3)
		w.WriteValue(v)
	})
}

func (s *session) runQuit([][]byte) error {
	s.replyOK()
	return errQuit
}

// runReset is RESET, which also forgets MULTI and WATCH.
func (s *session) runReset(words [][]byte) error {
	s.tx.end()
	s.say(redis.Lookup("reset"), words[1:])
	return nil
}

// runAnywhere passes a command on that every server answers alike.
func (s *session) runAnywhere(args [][]byte) error {
	s.pushCall(s.pipe.Send(s.ctx, client.Command{Args: args, RESP3: s.client.RESP3()}), 0)
	return nil
}

func (s *session) runNoCluster([][]byte) error {
	s.replyError(wire.CodeErr + " This instance has cluster support disabled")
	return nil
}

// runInfo is INFO [section …].
func (s *session) runInfo(words [][]byte) error {
	args := make([][]byte, len(words)-1)
	for i, a := range words[1:] {
		args[i] = slices.Clone(a)
	}
	s.now(func(_ context.Context, w *wire.Writer) { w.WriteValue(redis.Info(s.g.sections(), args)) })
	return nil
}

// sections are those of INFO, in their order.
func (g *Gateway) sections() []redis.Section {
	lines := func(pairs ...any) string {
		var b strings.Builder
		for i := 0; i < len(pairs); i += 2 {
			fmt.Fprintf(&b, "%v:%v\r\n", pairs[i], pairs[i+1])
		}
		return b.String()
	}
	return []redis.Section{
		{Name: "Server", Text: func() string { return g.front.InfoServer() + lines("server_name", "viewring gateway") }},
		{Name: "Clients", Text: func() string {
			return lines("connected_clients", g.connected(), "maxclients", g.opts.Bounds.Connections)
		}},
		{Name: "Memory", Text: func() string {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return lines("used_memory", m.HeapAlloc, "used_memory_rss", m.Sys)
		}},
		{Name: "Stats", Text: func() string {
			c, st := g.opts.Client.Stats(), &g.stats
			return lines("total_connections_received", st.connections.Load(), "rejected_connections", st.refused.Load(),
				"total_commands_processed", st.commands.Load(), "client_output_buffer_limit_disconnections", st.slow.Load(),
				"client_query_buffer_limit_disconnections", st.tooLarge.Load(), "pipeline_waits", st.pipelines.Load(), "commands_without_answer", st.failures.Load(),
				"requests_to_servers", c.Requests, "retries_to_servers", c.Retries, "longest_request_ms", c.Longest.Milliseconds())
		}},
		{Name: "Replication", Text: func() string { return lines("role", "master") }},
		{Name: "Cluster", Text: func() string { return lines("cluster_enabled", 0) }},
		{Name: "Viewring", Text: func() string {
			v := g.opts.Client.View()
			return lines("epoch", v.Epoch, "servers", len(v.Members), "partitions", len(v.Partitions))
		}},
	}
}
