package server

import (
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
)

// CLUSTER: the view in Redis's words, enough for a cluster-aware client to find its
// way unmodified.

func (c *conn) view() *ring.View { return c.s.views.View() }

func (c *conn) sayClusterKeySlot(args [][]byte) wire.Value {
	return redis.Number(int64(ring.SlotOf(string(args[0]))))
}

func (c *conn) sayClusterMyID([][]byte) wire.Value {
	return redis.Text(nodeName(c.s.store.Identity().Store))
}

func (c *conn) sayClusterNodes([][]byte) wire.Value {
	return redis.Verbatim(nodesText(c.view(), c.s.id))
}

func (c *conn) sayClusterInfo([][]byte) wire.Value { return redis.Verbatim(clusterInfo(c.view())) }

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

func (c *conn) sayClusterSlots([][]byte) wire.Value { return slotsReply(c.view()) }

func (c *conn) sayClusterShards([][]byte) wire.Value { return shardsReply(c.view()) }

func slotsReply(v *ring.View) wire.Value {
	all := redis.Array()
	for _, r := range slotRuns(v) {
		run := redis.Array(redis.Number(int64(r.first)), redis.Number(int64(r.last)))
		for _, m := range r.acting {
			host, port := splitAddr(m.Addr)
			run.Array = append(run.Array, redis.Array(redis.Text(host), redis.Number(port), redis.Text(nodeName(m.Store)), redis.Array()))
		}
		all.Array = append(all.Array, run)
	}
	return all
}

func shardsReply(v *ring.View) wire.Value {
	all := redis.Array()
	for _, r := range slotRuns(v) {
		nodes := redis.Array()
		for i, m := range r.acting {
			nodes.Array = append(nodes.Array, shardNode(m, i == 0))
		}
		all.Array = append(all.Array, redis.Map(
			redis.Text("slots"), redis.Array(redis.Number(int64(r.first)), redis.Number(int64(r.last))),
			redis.Text("nodes"), nodes))
	}
	return all
}

func shardNode(m *ring.Member, primary bool) wire.Value {
	host, port := splitAddr(m.Addr)
	role, health := "replica", "online"
	if primary {
		role = "master"
	}
	if !m.Up {
		health = "fail"
	}
	return redis.Map(
		redis.Text("id"), redis.Text(nodeName(m.Store)),
		redis.Text("port"), redis.Number(port),
		redis.Text("ip"), redis.Text(host),
		redis.Text("endpoint"), redis.Text(host),
		redis.Text("role"), redis.Text(role),
		redis.Text("replication-offset"), redis.Number(0),
		redis.Text("health"), redis.Text(health))
}

// nodesText is CLUSTER NODES. Every server is a master there: each is primary of
// some partitions and backup of others, which Redis has no word for.
func nodesText(v *ring.View, self ring.ServerID) string {
	slots := make(map[*ring.Member][]string)
	runs := slotRuns(v)
	for len(runs) > 0 {
		n := 1 // with the same primary, whatever the backups
		for n < len(runs) && runs[n].first == runs[n-1].last+1 && runs[n].acting[0] == runs[0].acting[0] {
			n++
		}
		first, last := runs[0].first, runs[n-1].last
		text := strconv.Itoa(int(first))
		if last != first {
			text += "-" + strconv.Itoa(int(last))
		}
		slots[runs[0].acting[0]] = append(slots[runs[0].acting[0]], text)
		runs = runs[n:]
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
	return fmt.Sprintf("cluster_state:%s\r\ncluster_slots_assigned:%d\r\ncluster_slots_ok:%d\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:%d\r\n"+
		"cluster_known_nodes:%d\r\ncluster_size:%d\r\ncluster_current_epoch:%d\r\ncluster_my_epoch:%d\r\n",
		state, assigned, assigned, ring.Slots-assigned, len(v.Members), len(v.Members), v.Epoch, v.Epoch)
}
