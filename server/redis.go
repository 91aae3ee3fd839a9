package server

import (
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"

	"viewring/internal/wire"
	"viewring/ring"
)

// What Redis clients ask besides data: enough for a cluster-aware one to find its
// way unmodified.

func (c *conn) runOK([][]byte) error {
	c.replyOK()
	return nil
}

func (c *conn) runPing(args [][]byte) error {
	if len(args) == 1 {
		return c.runEcho(args)
	}
	c.reply(func(w *wire.Writer) { w.WriteSimple("PONG") })
	return nil
}

func (c *conn) runEcho(args [][]byte) error {
	text := string(args[0])
	c.reply(func(w *wire.Writer) { w.WriteBulkString(text) })
	return nil
}

func (c *conn) runQuit([][]byte) error {
	c.replyOK()
	return errQuit
}

func (c *conn) runSelect(args [][]byte) error {
	if string(args[0]) != "0" {
		c.replyError(wire.CodeErr + " there is only database 0")
		return nil
	}
	c.replyOK()
	return nil
}

// runHello is HELLO [2|3]; credentials are refused, there are none yet.
func (c *conn) runHello(args [][]byte) error {
	resp3 := false
	if len(args) > 0 {
		switch string(args[0]) {
		case "2":
		case "3":
			resp3 = true
		default:
			c.replyError("NOPROTO unsupported protocol version")
			return nil
		}
	}
	for i := 1; i < len(args); i += 2 {
		if !strings.EqualFold(string(args[i]), "SETNAME") {
			c.replyError(wire.CodeErr + " HELLO option " + quote(args[i]) + " is not supported")
			return nil
		}
	}
	version := int64(2)
	if resp3 {
		version = 3
	}
	c.reply(func(w *wire.Writer) {
		w.SetRESP3(resp3)
		w.WriteMap(5)
		for _, kv := range [][2]string{{"server", "redis"}, {"version", "7.0.0"}, {"mode", "cluster"}, {"role", "master"}} {
			w.WriteBulkString(kv[0])
			w.WriteBulkString(kv[1])
		}
		w.WriteBulkString("proto")
		w.WriteInt(version)
	})
	return nil
}

func (c *conn) runClient(args [][]byte) error {
	switch strings.ToUpper(string(args[0])) {
	case "SETINFO", "SETNAME", "NO-EVICT", "NO-TOUCH":
		c.replyOK()
	case "ID":
		c.reply(func(w *wire.Writer) { w.WriteInt(1) })
	case "GETNAME":
		c.reply(func(w *wire.Writer) { w.WriteNil() })
	default:
		c.replyError(wire.CodeErr + " unknown CLIENT subcommand " + quote(args[0]))
	}
	return nil
}

// runCommand describes the data commands: clients learn from it where the key is.
func (c *conn) runCommand(args [][]byte) error {
	if len(args) > 0 && strings.EqualFold(string(args[0]), "COUNT") {
		c.reply(func(w *wire.Writer) { w.WriteInt(int64(len(keyCommands))) })
		return nil
	}
	if len(args) > 0 && !strings.EqualFold(string(args[0]), "INFO") {
		c.reply(func(w *wire.Writer) { w.WriteArray(0) }) // COMMAND DOCS: none
		return nil
	}
	c.reply(func(w *wire.Writer) {
		w.WriteArray(len(keyCommands))
		for _, k := range keyCommands {
			w.WriteArray(6)
			w.WriteBulkString(k.name)
			w.WriteInt(int64(k.arity))
			w.WriteArray(1)
			w.WriteSimple(k.flag)
			for range 3 { // first key, last key, step
				w.WriteInt(1)
			}
		}
	})
	return nil
}

var keyCommands = []struct {
	name  string
	arity int
	flag  string
}{
	{"get", 2, "readonly"}, {"exists", 2, "readonly"}, {"strlen", 2, "readonly"},
	{"set", -3, "write"}, {"del", 2, "write"}, {"append", 3, "write"}, {"incr", 2, "write"},
	{"decr", 2, "write"}, {"incrby", 3, "write"}, {"decrby", 3, "write"},
	{"ttl", 2, "readonly"}, {"pttl", 2, "readonly"}, {"expiretime", 2, "readonly"}, {"pexpiretime", 2, "readonly"},
	{"expire", -3, "write"}, {"pexpire", -3, "write"}, {"expireat", -3, "write"}, {"pexpireat", -3, "write"}, {"persist", 2, "write"},
}

func (c *conn) runInfo([][]byte) error {
	text := fmt.Sprintf("# Server\r\nredis_version:7.0.0\r\nserver_id:%v\r\n# Cluster\r\ncluster_enabled:1\r\n# Store\r\ncorruptions:%d\r\n",
		c.s.id, c.s.store.Corruptions())
	c.reply(func(w *wire.Writer) { w.WriteBulkString(text) })
	return nil
}

func (c *conn) runCluster(args [][]byte) error {
	v := c.s.views.current().view
	switch sub := strings.ToUpper(string(args[0])); {
	case sub == "SLOTS" && len(args) == 1:
		c.reply(func(w *wire.Writer) { writeSlots(w, v) })
	case sub == "SHARDS" && len(args) == 1:
		c.reply(func(w *wire.Writer) { writeShards(w, v) })
	case sub == "NODES" && len(args) == 1:
		text := nodesText(v, c.s.id)
		c.reply(func(w *wire.Writer) { w.WriteBulkString(text) })
	case sub == "KEYSLOT" && len(args) == 2:
		slot := ring.SlotOf(string(args[1]))
		c.reply(func(w *wire.Writer) { w.WriteInt(int64(slot)) })
	case sub == "MYID" && len(args) == 1:
		id := c.s.store.Identity().Store
		c.reply(func(w *wire.Writer) { w.WriteBulkString(nodeName(id)) })
	case sub == "INFO" && len(args) == 1:
		text := clusterInfo(v)
		c.reply(func(w *wire.Writer) { w.WriteBulkString(text) })
	default:
		c.replyError(wire.CodeErr + " unknown CLUSTER subcommand " + quote(args[0]))
	}
	return nil
}

// nodeName is a server's name in Redis's form: 40 hexadecimal digits.
func nodeName(store [16]byte) string { return hex.EncodeToString(store[:]) + "00000000" }

// slotRun is a run of slots that the same replicas act for.
type slotRun struct {
	first, last uint16
	acting      []*ring.Member // first is the primary; those without an address are left out
}

// slotRuns lists the slots that have a primary.
func slotRuns(v *ring.View) []slotRun {
	var runs []slotRun
	for i := range v.Partitions {
		p := &v.Partitions[i]
		if m := v.Member(p.Primary()); m == nil || m.Addr == "" {
			continue
		}
		first, last := ring.SlotRange(ring.PartitionID(i), len(v.Partitions))
		var acting []*ring.Member
		for _, id := range p.Acting {
			if m := v.Member(id); m != nil && m.Addr != "" {
				acting = append(acting, m)
			}
		}
		if n := len(runs); n > 0 && runs[n-1].last+1 == first && sameMembers(runs[n-1].acting, acting) {
			runs[n-1].last = last
			continue
		}
		runs = append(runs, slotRun{first: first, last: last, acting: acting})
	}
	return runs
}

func sameMembers(a, b []*ring.Member) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func splitAddr(addr string) (host string, port int64) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, 0
	}
	n, _ := strconv.ParseUint(p, 10, 16) // 0 for a name: clients then can't connect, as they should not
	return host, int64(n)
}

func writeSlots(w *wire.Writer, v *ring.View) {
	runs := slotRuns(v)
	w.WriteArray(len(runs))
	for _, r := range runs {
		w.WriteArray(2 + len(r.acting))
		w.WriteInt(int64(r.first))
		w.WriteInt(int64(r.last))
		for _, m := range r.acting {
			host, port := splitAddr(m.Addr)
			w.WriteArray(3)
			w.WriteBulkString(host)
			w.WriteInt(port)
			w.WriteBulkString(nodeName(m.Store))
		}
	}
}

func writeShards(w *wire.Writer, v *ring.View) {
	runs := slotRuns(v)
	w.WriteArray(len(runs))
	for _, r := range runs {
		w.WriteMap(2)
		w.WriteBulkString("slots")
		w.WriteArray(2)
		w.WriteInt(int64(r.first))
		w.WriteInt(int64(r.last))
		w.WriteBulkString("nodes")
		w.WriteArray(len(r.acting))
		for i, m := range r.acting {
			writeShardNode(w, m, i == 0)
		}
	}
}

func writeShardNode(w *wire.Writer, m *ring.Member, primary bool) {
	host, port := splitAddr(m.Addr)
	role, health := "replica", "online"
	if primary {
		role = "master"
	}
	if !m.Up {
		health = "fail"
	}
	w.WriteMap(7)
	for _, kv := range [][2]string{{"id", nodeName(m.Store)}, {"ip", host}, {"endpoint", host}, {"role", role}, {"health", health}} {
		w.WriteBulkString(kv[0])
		w.WriteBulkString(kv[1])
	}
	w.WriteBulkString("port")
	w.WriteInt(port)
	w.WriteBulkString("replication-offset")
	w.WriteInt(0)
}

// nodesText is CLUSTER NODES. Every server is a master there: each is primary of
// some partitions and backup of others, which Redis has no word for.
func nodesText(v *ring.View, self ring.ServerID) string {
	slots := make(map[*ring.Member][]string)
	for _, r := range slotRuns(v) {
		text := strconv.Itoa(int(r.first))
		if r.last != r.first {
			text += "-" + strconv.Itoa(int(r.last))
		}
		slots[r.acting[0]] = append(slots[r.acting[0]], text)
	}
	var b strings.Builder
	for i := range v.Members {
		m := &v.Members[i]
		host, port := splitAddr(m.Addr)
		flags, state := "master", "connected"
		if m.ID == self {
			flags = "myself,master"
		}
		if !m.Up {
			flags, state = flags+",fail", "disconnected"
		}
		fmt.Fprintf(&b, "%s %s:%d@0 %s - 0 0 %d %s", nodeName(m.Store), host, port, flags, v.Epoch, state)
		for _, s := range slots[m] {
			b.WriteString(" " + s)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func clusterInfo(v *ring.View) string {
	assigned := 0
	for _, r := range slotRuns(v) {
		assigned += int(r.last-r.first) + 1
	}
	state := "ok"
	for p := range v.Partitions {
		if assigned < ring.Slots || v.Unserved(ring.PartitionID(p)) {
			state = "fail"
		}
	}
	return fmt.Sprintf("cluster_state:%s\r\ncluster_slots_assigned:%d\r\ncluster_known_nodes:%d\r\ncluster_size:%d\r\ncluster_current_epoch:%d\r\n",
		state, assigned, len(v.Members), len(v.Members), v.Epoch)
}
