package admin_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/client/file"
	"viewring/ring"
	"viewring/tests/local"
)

// The examples share a cluster of five servers within this process, s1 to s5. They run
// in the order in which they stand here; the last of them take servers away.
var cluster = sync.OnceValue(func() *local.Cluster { return local.Keep(local.Options{Servers: 5}) })

func TestMain(m *testing.M) { os.Exit(local.Main(m)) }

// options say where the examples' cluster is.
func options() client.Options { return cluster().Options() }

// open opens a cluster, for examples that are not about that.
func open() (context.Context, *admin.Cluster) {
	c, err := admin.Open(context.Background(), options())
	if err != nil {
		panic(err)
	}
	return context.Background(), c
}

// store makes a few keys.
func store(ctx context.Context) {
	c, err := client.Open(ctx, options())
	if err != nil {
		panic(err)
	}
	defer c.Close()
	for i := range 10 {
		if _, err := c.Set(ctx, fmt.Sprintf("key %d", i), []byte("value"), client.Always()); err != nil {
			panic(err)
		}
	}
}

func ExampleOpen() {
	ctx := context.Background()
	c, err := admin.Open(ctx, options()) // client.Options{Leaders: []string{"localhost:28500"}}
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(len(c.View().Members), "servers")
	// Output: 5 servers
}

// Is my data safe?
func ExampleCluster_Status() {
	ctx, c := open()
	defer c.Close()

	st, err := c.Status(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	s := st.Safety()
	fmt.Printf("%d of %d partitions have all %d copies, %d are not served\n", s.Whole, len(st.View.Partitions), s.Copies, s.Unavailable)
	for _, m := range st.View.Members {
		fmt.Println(m.ID, m.State(), "disk full:", st.Server(m.ID).Stats.Full)
	}
	// Output:
	// 16 of 16 partitions have all 3 copies, 0 are not served
	// s1 up disk full: false
	// s2 up disk full: false
	// s3 up disk full: false
	// s4 up disk full: false
	// s5 up disk full: false
}

// Where a key is, by the view.
func ExampleCluster_View() {
	_, c := open()
	defer c.Close()

	v := c.View()
	p := ring.PartitionOf(ring.SlotOf("greeting"), len(v.Partitions))
	fmt.Println(len(v.Partitions[p].Acting), "servers have it, the first of them is its primary")
	// Output: 3 servers have it, the first of them is its primary
}

// What every server's store holds, compared with where it belongs.
func ExampleCluster_Audit() {
	ctx, c := open()
	defer c.Close()
	store(ctx)

	audit, err := c.Audit(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range audit.Problems {
		fmt.Println(p.Key, p.What)
	}
	fmt.Printf("%d keys, %d copies, %d problems\n", audit.Keys, audit.Copies, len(audit.Problems))
	// Output: 10 keys, 30 copies, 0 problems
}

// Of a cluster that says it is balanced, while nobody writes.
func ExampleCluster_AuditOnce() {
	ctx, c := open()
	defer c.Close()

	audit, err := c.AuditOnce(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(audit.Problems), "problems")
	// Output: 0 problems
}

// The history of the cluster, as far as the view leader keeps it.
func ExampleCluster_Events() {
	ctx, c := open()
	defer c.Close()

	events, err := c.Events(ctx, 0, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	joined := 0
	for _, e := range events {
		if e.Kind == "joined" {
			joined++
		}
	}
	fmt.Println(joined, "servers have joined")
	// Those after it: c.Events(ctx, events[len(events)-1].Number, time.Minute)

	// Output: 5 servers have joined
}

// Elections of the view leaders, as the head has seen them.
func ExampleCluster_Elections() {
	ctx, c := open()
	defer c.Close()

	elections, err := c.Elections(ctx, time.UnixMilli(0))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range elections {
		if e.Kind == "head" {
			fmt.Println("there was an election")
			break
		}
	}

	// Output: there was an election
}

// Who holds which lock.
func ExampleCluster_Locks() {
	ctx, c := open()
	defer c.Close()
	program, err := client.Open(ctx, options())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer program.Close()
	if _, err := program.LockGet(ctx, "backup", "alice", client.LockOptions{}); err != nil {
		fmt.Println(err)
		return
	}

	locks, err := c.Locks(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range locks.Locks {
		for _, h := range l.Holders {
			fmt.Println(l.Name, "is held by", h.Client)
		}
	}
	// Output: backup is held by alice
}

// All servers read and verify what they store.
func ExampleServer_Scrub() {
	ctx, c := open()
	defer c.Close()

	for _, m := range c.View().Members {
		s, err := admin.DialServer(ctx, m.Addr, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		result, err := s.Scrub(ctx, nil)
		fmt.Println(m.ID, "corrupt:", result.Corrupt, err)
		_ = s.Close()
	}
	// Output:
	// s1 corrupt: 0 <nil>
	// s2 corrupt: 0 <nil>
	// s3 corrupt: 0 <nil>
	// s4 corrupt: 0 <nil>
	// s5 corrupt: 0 <nil>
}

// A name of the server's own, which no other server has.
func ExampleServer_Set() {
	ctx, c := open()
	defer c.Close()
	s, err := admin.DialServer(ctx, c.View().Members[0].Addr, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	if err := s.Set(ctx, "rack", []byte("7b")); err != nil {
		fmt.Println(err)
		return
	}
	rack, err := s.Get(ctx, "rack")
	fmt.Printf("%s %v\n", rack, err)
	// Output: 7b <nil>
}

// What is in a server's store.
func ExampleServer_Names() {
	ctx, c := open()
	defer c.Close()
	s, err := admin.DialServer(ctx, c.View().Members[0].Addr, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	for name, err := range s.Names(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if name.Local {
			fmt.Println(name.Name)
		}
	}
	// Output: rack
}

// The copies of a partition's keys that one server has.
func ExampleServer_Copies() {
	ctx, c := open()
	defer c.Close()
	v := c.View()
	p := ring.PartitionOf(ring.SlotOf("key 1"), len(v.Partitions))
	s, err := admin.DialServer(ctx, v.Member(v.Partitions[p].Primary()).Addr, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	held, err := s.Partitions(ctx)
	fmt.Println("it has the partition:", slices.Contains(held, p), err)
	for k, err := range s.Copies(ctx, p) {
		if err == nil && k.Key == "key 1" {
			fmt.Println(k.Length, "bytes, corrupt:", k.Corrupt)
		}
	}
	// Output:
	// it has the partition: true <nil>
	// 5 bytes, corrupt: false
}

// The copies of a file, and of each of its chunks.
func ExampleServer_Look() {
	ctx, c := open()
	defer c.Close()
	f, err := file.Open(ctx, options())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	if _, err := f.Put(ctx, "/report", strings.NewReader(strings.Repeat("long", 500_000)), file.PutOptions{}); err != nil {
		fmt.Println(err)
		return
	}

	d, err := f.Describe(ctx, "/report")
	if err != nil {
		fmt.Println(err)
		return
	}
	v := c.View()
	for p := range d.Pieces() {
		primary := v.Partitions[ring.PartitionOf(p.Slot, len(v.Partitions))].Primary()
		s, err := admin.DialServer(ctx, v.Member(primary).Addr, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		k, err := s.Look(ctx, p.Name)
		fmt.Println(p.Chunk, k.Corrupt, p.Chunk < 0 || k.Length > 900_000, err)
		_ = s.Close()
	}
	// Output:
	// -1 false true <nil>
	// 0 false true <nil>
	// 1 false true <nil>
}

func ExampleServer_Info() {
	ctx, c := open()
	defer c.Close()
	s, err := admin.DialServer(ctx, c.View().Members[0].Addr, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	info, err := s.Info(ctx)
	fmt.Println(info["server_id"], info["disk_free"] != "", err)
	// Output: s1 true <nil>
}

// A line on the server's standard output, for who looks at its log.
func ExampleServer_Print() {
	ctx, c := open()
	defer c.Close()
	s, err := admin.DialServer(ctx, c.View().Members[0].Addr, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	fmt.Println(s.Print(ctx, "the disks of rack 7b are changed at noon"))
	// Output: <nil>
}

func ExampleServer_Ping() {
	ctx, c := open()
	defer c.Close()
	s, err := admin.DialServer(ctx, c.View().Members[0].Addr, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	fmt.Println(s.Ping(ctx))
	// Output: <nil>
}

func ExampleViewLeaders() {
	group, err := admin.ViewLeaders(context.Background(), options())
	if err != nil {
		fmt.Println(err)
		return
	}
	want, up := group.Majority()
	fmt.Printf("%d of %d view leaders are up, %d must be; there is a head: %v\n", up, len(group.Members), want, group.HasHead)
	// Output: 1 of 1 view leaders are up, 1 must be; there is a head: true
}

// A second view leader may join. It is started then, with an empty folder and --peers.
func ExampleAddViewLeader() {
	ctx := context.Background()
	if err := admin.AddViewLeader(ctx, options(), "127.0.0.1:28501"); err != nil {
		fmt.Println(err)
		return
	}
	group, err := admin.ViewLeaders(ctx, options())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("awaited:", group.Awaited)
	// Output: awaited: [127.0.0.1:28501]
}

// The only one cannot be spared.
func ExampleRemoveViewLeader() {
	err := admin.RemoveViewLeader(context.Background(), options(), "1")
	fmt.Println(errors.Is(err, client.ErrRefused))
	// Output: true
}

// What is not lost is not given up.
func ExampleCluster_AcceptLoss() {
	ctx, c := open()
	defer c.Close()

	_, err := c.AcceptLoss(ctx, []ring.PartitionID{0})
	fmt.Println(errors.Is(err, client.ErrRefused))
	// Output: true
}

// A server goes for good, and no copy is too few meanwhile.
func ExampleCluster_Leave() {
	ctx, c := open()
	defer c.Close()

	id, err := c.Leave(ctx, "s4")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.WaitView(ctx, func(v *ring.View) bool { return v.Member(id) == nil })
	fmt.Println(id, "has left", err)
	// Output: s4 has left <nil>
}

// To see every new view, here until a server has left.
func ExampleCluster_ViewChanged() {
	ctx, c := open()
	defer c.Close()
	id, err := c.Leave(ctx, "s5")
	if err != nil {
		fmt.Println(err)
		return
	}

	for {
		v := c.View()
		if v.Member(id) == nil {
			fmt.Println(id, "has left")
			break
		}
		<-c.ViewChanged(v)
	}
	// Output: s5 has left
}

// A server is to copy slowly, and for now not at all.
func ExampleServer_LimitRebalancing() {
	ctx, c := open()
	defer c.Close()
	s, err := admin.DialServer(ctx, c.View().Members[0].Addr, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	if _, err := s.LimitRebalancing(ctx, 10<<20); err != nil { // bytes per second
		fmt.Println(err)
		return
	}
	if _, err := s.PauseRebalancing(ctx); err != nil {
		fmt.Println(err)
		return
	}
	now, err := s.Rebalancing(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("paused:", now.Paused, "limit:", now.Limit)
	now, err = s.ResumeRebalancing(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("paused:", now.Paused)
	// Output:
	// paused: true limit: 10485760
	// paused: false
}

// What would one more server take over? Nothing changes by the question.
func ExampleStatus_PlanJoin() {
	ctx, c := open()
	defer c.Close()

	st, err := c.Status(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := st.PlanJoin(admin.Newcomer{}) // of weight 1, in no zone
	if err != nil {
		fmt.Println(err)
		return
	}
	newcomer := plan.Servers[len(plan.Servers)-1]
	fmt.Println("new:", newcomer.New, "it copies all that moves:", newcomer.Gains == plan.Moved)
	// Output: new: true it copies all that moves: true
}

// A server with twice the disk of the others takes twice as much.
func ExampleCluster_SetWeight() {
	ctx, c := open()
	defer c.Close()

	id, err := c.SetWeight(ctx, "s2", 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := c.WaitView(ctx, func(v *ring.View) bool { return v.Member(id).Weight == 2 })
	fmt.Println(id, "has weight", v.Member(id).Weight, err)
	// Output: s2 has weight 2 <nil>
}

// A server was carried to another rack.
func ExampleCluster_SetZone() {
	ctx, c := open()
	defer c.Close()

	id, err := c.SetZone(ctx, "s2", "rack 4")
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := c.WaitView(ctx, func(v *ring.View) bool { return v.Member(id).Zone == "rack 4" })
	fmt.Println(id, "stands in", v.Member(id).Zone, err)
	// Output: s2 stands in rack 4 <nil>
}

// A server is to be restarted, without anyone noticing.
func ExampleCluster_Drain() {
	ctx, c := open()
	defer c.Close()

	id, err := c.Drain(ctx, "s3")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.WaitView(ctx, func(v *ring.View) bool {
		return !slices.ContainsFunc(v.Partitions, func(p ring.Partition) bool { return p.IsActing(id) })
	})
	fmt.Println(id, "serves nothing any more", err)
	// Output: s3 serves nothing any more <nil>
}

// The restart is put off: the server serves again. (A server that was not drained has nothing to do.)
func ExampleCluster_Undrain() {
	ctx, c := open()
	defer c.Close()

	id, err := c.Undrain(ctx, "s3")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.WaitView(ctx, func(v *ring.View) bool {
		return slices.ContainsFunc(v.Partitions, func(p ring.Partition) bool { return p.IsActing(id) })
	})
	fmt.Println(id, "serves", err)
	// Output: s3 serves <nil>
}

// A server whose machine is lost is removed: the others make new copies of what it had.
// One that is up is not removed by mistake.
func ExampleCluster_Remove() {
	ctx, c := open()
	defer c.Close()

	_, err := c.Remove(ctx, "s1")
	fmt.Println(err)
	// Output: remove s1: refused: s1 is up: stop it first, or let it leave
}
