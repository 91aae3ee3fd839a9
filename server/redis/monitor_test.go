package redis

import (
	"strings"
	"testing"
	"time"

	"viewring/internal/wire"
)

// monitored is a front with one client, whose clock a test sets.
type monitored struct {
	*Session
	now time.Time
}

func newMonitored(at Monitoring) *monitored {
	m := &monitored{now: time.Unix(1000, 0)}
	now := func() time.Time { return m.now }
	f := &Front{Mode: ModeCluster, Now: now, Monitor: NewMonitor(at, now, "vr.do|get")}
	m.Session = f.Join("1.2.3.4:5", "me:1")
	m.name = "client"
	return m
}

func (m *monitored) done(command string, took time.Duration, ended Ended, first string, words int) {
	number := m.front.Monitor.Other()
	if c := Lookup(command); c != nil {
		number = c.Index
	}
	m.front.Monitor.Done(m.Session, Done{Number: number, Words: words, Ended: ended, Took: took, First: first})
}

// say is the reply to a command, as people read it.
func (m *monitored) say(t *testing.T, command string) string {
	t.Helper()
	var words [][]byte
	for w := range strings.FieldsSeq(command) {
		words = append(words, []byte(w))
	}
	cmd, args, errText := Resolve(words)
	if errText != "" {
		return errText
	}
	return text(cmd.Say(m.Session, args))
}

func text(v wire.Value) string {
	if v.Kind != wire.KindArray && v.Kind != wire.KindMap {
		return v.Text()
	}
	var parts []string
	for _, e := range v.Array {
		parts = append(parts, text(e))
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// TestSlowLog: slow commands are kept, the newest first, so many of them, with their first argument and who sent them;
// of a value nothing is.
func TestSlowLog(t *testing.T) {
	m := newMonitored(Monitoring{SlowerThan: 10 * time.Millisecond, SlowLen: 3})
	m.done("set", 9*time.Millisecond, EndedOK, "fast", 3)
	m.done("exec", time.Second, EndedOK, "", 1)
	for _, first := range []string{"gone", "a", strings.Repeat("x", 130)} {
		m.now = m.now.Add(time.Second)
		m.done("set", 10*time.Millisecond, EndedOK, first, 5)
	}
	m.done("config|get", time.Second, EndedOK, "*", 3)
	m.done("auth", time.Second, EndedOK, "open sesame", 2)
	const who = " 1.2.3.4:5 client]"
	for command, want := range map[string]string{
		"SLOWLOG LEN":   "3",
		"SLOWLOG GET 3": "[[5 1003 1000000 [AUTH (redacted)]" + who + " [4 1003 1000000 [CONFIG GET *]" + who + " [3 1003 10000 [SET " + strings.Repeat("x", 128) + "... (2 more bytes) ... (3 more arguments)]" + who + "]",
		"SLOWLOG GET 0": "[]",
	} {
		if got := m.say(t, command); got != want {
			t.Errorf("%s: %s, want %s", command, got, want)
		}
	}
	if got := m.say(t, "SLOWLOG GET"); strings.Contains(got, "gone") || strings.Count(got, who) != 3 {
		t.Errorf("SLOWLOG GET: %s", got)
	}
	m.say(t, "SLOWLOG RESET")
	m.done("get", time.Second, EndedAbsent, "k", 2)
	if got := m.say(t, "SLOWLOG GET -1"); got != "[[6 1003 1000000 [GET k]"+who+"]" {
		t.Errorf("after a reset: %s", got)
	}
	if got := m.say(t, "LATENCY LATEST"); got != "[]" {
		t.Errorf("events that nobody asked for: %s", got)
	}
	off := newMonitored(Monitoring{SlowerThan: -1, SlowLen: 3})
	off.done("get", time.Hour, EndedOK, "k", 2)
	if got := off.say(t, "SLOWLOG LEN"); got != "0" {
		t.Errorf("with no slow log it has %s", got)
	}
}

// TestLatency: events are kept by second, the longest of each; histograms have all commands.
func TestLatency(t *testing.T) {
	m := newMonitored(Monitoring{SlowerThan: -1, SpikesFrom: 5 * time.Millisecond})
	m.done("get", 7*time.Millisecond, EndedOK, "k", 2)
	m.done("get", 6*time.Millisecond, EndedOK, "k", 2)
	m.done("get", 4*time.Millisecond, EndedOK, "k", 2)
	m.now = m.now.Add(time.Second)
	m.done("get", 5*time.Millisecond, EndedAbsent, "k", 2)
	m.done("set", 3*time.Microsecond, EndedOK, "k", 3)
	m.front.Monitor.Spike("aof-fsync-always", 80*time.Millisecond)
	for _, tt := range [][2]string{
		{"LATENCY LATEST", "[[aof-fsync-always 1001 80 80] [fast-command 1001 5 7]]"},
		{"LATENCY HISTORY fast-command", "[[1000 7] [1001 5]]"},
		{"LATENCY HISTORY nosuch", "[]"},
		{"LATENCY HISTOGRAM get", "[get [calls 4 histogram_usec [4096 1 8192 4]]]"},
		{"LATENCY HISTOGRAM SET nosuch", "[set [calls 1 histogram_usec [4 1]]]"},
		{"LATENCY RESET nosuch", "0"},
		{"LATENCY RESET fast-command", "1"},
		{"LATENCY RESET", "1"},
		{"LATENCY LATEST", "[]"},
	} {
		if got := m.say(t, tt[0]); got != tt[1] {
			t.Errorf("%s: %s, want %s", tt[0], got, tt[1])
		}
	}
	for range spikesMax + 5 {
		m.now = m.now.Add(time.Second)
		m.front.Monitor.Spike("e", time.Second)
	}
	if got := strings.Count(m.say(t, "LATENCY HISTORY e"), "1000]"); got != spikesMax {
		t.Errorf("%d seconds are kept, want %d", got, spikesMax)
	}
}

// TestMonitorInfo: INFO has what commands came to.
func TestMonitorInfo(t *testing.T) {
	m := newMonitored(Monitoring{SlowerThan: -1})
	m.done("get", 3*time.Microsecond, EndedOK, "k", 2)
	m.done("get", 5*time.Microsecond, EndedAbsent, "k", 2)
	m.done("get", time.Microsecond, EndedWith(wire.MovedText(1, "a:1")), "k", 2)
	m.done("set", time.Microsecond, EndedWith(ErrSyntax), "k", 2)
	m.done("nosuch", time.Microsecond, EndedWith("ERR unknown command"), "", 1)
	info := Info(m.front.Monitor.InfoSections(), [][]byte{[]byte("everything")})
	want := "# Modules\r\n\r\n# Commandstats\r\ncmdstat_get:calls=3,usec=9,usec_per_call=3.00,rejected_calls=1,failed_calls=0\r\n" +
		"cmdstat_set:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=1\r\ncmdstat_other:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=1\r\n" +
		"\r\n# Errorstats\r\nerrorstat_ERR:count=2\r\nerrorstat_MOVED:count=1\r\n\r\n# Latencystats\r\nlatency_percentiles_usec_get:p50=4.000,p99=8.000,p99.9=8.000\r\n" +
		"latency_percentiles_usec_set:p50=1.000,p99=1.000,p99.9=1.000\r\nlatency_percentiles_usec_other:p50=1.000,p99=1.000,p99.9=1.000\r\n"
	if got := string(info.Bytes); got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if got := string(Info(m.front.Monitor.InfoSections(), nil).Bytes); strings.Contains(got, "cmdstat") || !strings.Contains(got, "errorstat") {
		t.Errorf("by default: %q", got)
	}
	stats := m.front.Monitor.InfoStats()
	for _, line := range []string{"total_commands_processed:5", "instantaneous_ops_per_sec:0", "keyspace_hits:1", "keyspace_misses:1", "total_error_replies:3"} {
		if !strings.Contains(stats, line+"\r\n") {
			t.Errorf("%q has no %s", stats, line)
		}
	}
	m.now = m.now.Add(2 * time.Second)
	for range 10 {
		m.done("get", 0, EndedOK, "k", 2)
	}
	if stats := m.front.Monitor.InfoStats(); !strings.Contains(stats, "instantaneous_ops_per_sec:5\r\n") {
		t.Errorf("ten commands in two seconds: %q", stats)
	}
}

// TestHuman: bytes as Redis writes them.
func TestHuman(t *testing.T) {
	for n, want := range map[uint64]string{0: "0B", 1023: "1023B", 1024: "1.00K", 965672: "943.04K", 12324864: "11.75M", 25276510208: "23.54G"} {
		if got := Human(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
