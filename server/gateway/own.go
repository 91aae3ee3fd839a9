package gateway

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"viewring/internal/front"
	"viewring/internal/wire"
	"viewring/server/machine"
	"viewring/server/redis"
)

// say answers a command that is about the session alone.
func (s *session) say(v wire.Value) {
	s.Trust(s.client.Trusted())
	resp3 := s.client.RESP3()
	s.reply(func(w *wire.Writer) {
		s.ended = redis.EndedBy(&v)
		w.SetRESP3(resp3)
		w.WriteValue(v)
	})
}

// refuseTelling answers what asks to be told of changes: the servers of the keys know of them,
// and a gateway's clients can't be told.
func (s *session) refuseTelling(words [][]byte) error {
	cmd, _, _ := redis.Resolve(words)
	s.wrong(fmt.Sprintf("%s a gateway does not tell of changes: ask the servers themselves for %s", wire.CodeErr,
		strings.ToUpper(strings.ReplaceAll(cmd.Name, "|", " "))))
	return nil
}

func (s *session) runQuit([][]byte) error {
	s.replyOK()
	return front.ErrQuit
}

// runReset is RESET, which also forgets MULTI and WATCH.
func (s *session) runReset([][]byte) error {
	s.endTransaction()
	s.say(s.client.Reset())
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
	sections := []redis.Section{
		{Name: "Server", Text: func() string { return g.front.InfoServer() + lines("server_name", "viewring gateway") }},
		{Name: "Clients", Text: func() string {
			return lines("connected_clients", g.frontend.Connected(), "maxclients", g.opts.Bounds.Connections)
		}},
		{Name: "Memory", Text: func() string {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return redis.InfoMemory(m.HeapAlloc, m.Sys, uint64(machine.Memory()))
		}},
		{Name: "Stats", Text: func() string {
			c, st, reached := g.opts.Client.Stats(), &g.stats, g.frontend.Reached()
			return lines("total_connections_received", reached.Accepted.Load()) + g.monitor.InfoStats() + reached.String() + redis.InfoNever +
				lines("commands_without_answer", st.failures.Load(), "requests_to_servers", c.Requests, "retries_to_servers", c.Retries, "longest_request_ms", c.Longest.Milliseconds())
		}},
		{Name: "Replication", Text: func() string { return lines("role", "master") }},
		{Name: "CPU", Text: func() string { return redis.InfoCPU(machine.ProcessorTime()) }},
		{Name: "Cluster", Text: func() string { return lines("cluster_enabled", 0) }},
		{Name: "Viewring", Text: func() string {
			v := g.opts.Client.View()
			return lines("epoch", v.Epoch, "servers", len(v.Members), "partitions", len(v.Partitions))
		}},
	}
	return append(sections, g.monitor.InfoSections()...)
}
