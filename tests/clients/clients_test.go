package clients

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"viewring/ring"
	"viewring/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// driver is one client library, or one program.
type driver interface {
	name() string // with its version
	// run carries out one of checks.
	run(t *testing.T, check string) error
	// load begins to write keys, one after the other in a few loops.
	load() error
	// finish ends that and reads all back that was acknowledged.
	finish() (outcome, error)
}

// outcome is what came of a load.
type outcome struct {
	Acked   int    `json:"acked"`
	Errors  int    `json:"errors"`
	Lost    int    `json:"lost"`
	Longest int    `json:"longest"` // milliseconds, of one write
	Last    string `json:"last"`    // error
}

var checks = []string{"basic", "pipeline", "routing", "multi", "ttl"}

// Every client does what its users expect, and loses nothing that it was told is
// written while a server joins, one leaves and one is killed.
func TestClients(t *testing.T) {
	cluster := harness.NewCluster(t, harness.Config{Servers: 3, Direct: true})
	shell := harness.NewShell(t, cluster.Leader.Addr)
	gateway := harness.FreeAddr(t)
	g := shell.Start("gateway", "--listen", gateway)
	g.Stderr.Wait(t, "gateway is up", g.Done)

	drivers := []driver{openGoRedis(t, cluster.Addrs()), openRueidis(t, cluster.Addrs()), openPlain(t, gateway)}
	drivers = append(drivers, openCLI(t, shell, cluster.Addrs()[2])...) // one that stays
	drivers = append(drivers, openNode(t, cluster.Addrs())...)
	benchmark(t, shell, cluster.Addrs()[0])
	rows := make(map[driver][]string)
	for _, d := range drivers {
		for _, check := range checks {
			result := "ok"
			if err := d.run(t, check); err != nil {
				t.Errorf("%s: %s: %.500v", d.name(), check, err)
				result = "FAILS"
			}
			rows[d] = append(rows[d], result)
		}
	}
	for _, d := range drivers {
		if err := d.load(); err != nil {
			t.Fatalf("%s: load: %v", d.name(), err)
		}
	}
	harness.Pass(t, time.Second)
	joined := cluster.Add()
	cluster.WaitBalanced()
	t.Logf("%s has joined", joined.Name)
	leaving := cluster.Servers[0]
	shell.OK("leave", leaving.Addr)
	cluster.WaitView("one has left", func(v *ring.View) bool { return len(v.Members) == 3 })
	cluster.Forget(cluster.Servers[0])
	t.Logf("%s has left", leaving.Name)
	cluster.Servers[0].Kill()
	cluster.WaitDown(cluster.Servers[0])
	t.Logf("%s was killed", cluster.Servers[0].Name)
	harness.Pass(t, 3*time.Second)
	var table strings.Builder
	table.WriteString("| client | " + strings.Join(checks, " | ") + " | join, leave, kill -9: writes | errors | lost | longest |\n|" + strings.Repeat("---|", len(checks)+5) + "\n")
	for _, d := range drivers {
		o, err := d.finish()
		if err != nil {
			t.Errorf("%s: finish: %v", d.name(), err)
		}
		if o.Lost > 0 || o.Acked < 100 {
			t.Errorf("%s: %+v", d.name(), o)
		}
		fmt.Fprintf(&table, "| %s | %s | %d | %d | %d | %d ms |\n", d.name(), strings.Join(rows[d], " | "), o.Acked, o.Errors, o.Lost, o.Longest)
		if o.Errors > 0 {
			t.Logf("%s: the last of %d errors: %.200s", d.name(), o.Errors, o.Last)
		}
	}
	fmt.Print(table.String())
}
