package faults

import (
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"viewring/tests/damage"
	"viewring/tests/harness"
)

func init() { scenes = append(scenes, damages...) }

// Damage to a server's files while it is down. But in the small store there are
// enough values for a block to hold those of one or two partitions.
var damages = []scene{
	{name: "a flipped byte in a table", servers: 4, play: func(p *play) {
		p.fill()
		n := p.Acting(hot)[0]
		n.Kill()
		p.WaitDown(n)
		flip(p, largest(p, ending(n, ".sst")), 1, 3)
		n.Start()
		p.WaitBalanced()
		p.Scrub(n)
		p.ops(someOps)
	}},
	{name: "a flipped byte in the table of a small store", quick: true, servers: 4, play: func(p *play) {
		p.fillWith(100) // a block holds those of dozens of partitions
		n := p.Acting(hot)[0]
		n.Kill()
		p.WaitDown(n)
		n.Start() // puts what is in the log into a table
		p.WaitBalanced()
		n.Kill()
		p.WaitDown(n)
		flip(p, largest(p, ending(n, ".sst")), 1, 2)
		n.Start()
		p.WaitBalanced()
		p.Scrub(n)
		p.ops(someOps)
		if said := n.Daemon().Stderr.Text(); strings.Contains(said, "registering again") {
			p.t.Errorf("%s was taken for dead while it mended its store: %s", n.Name, said)
		}
	}},
	{name: "flipped bytes in all tables of a server", servers: 4, play: func(p *play) {
		p.fill()
		n := p.Acting(hot)[0]
		n.Kill()
		p.WaitDown(n)
		for i, table := range ending(n, ".sst") {
			flip(p, table, int64(1+i%8), 10)
		}
		n.Start()
		p.WaitBalanced()
		p.Scrub(n)
		p.ops(someOps)
	}},
	{name: "a flipped byte in the log", quick: true, servers: 4, play: func(p *play) {
		n := p.Acting(hot)[0]
		log := func() string {
			logs := ending(n, ".log")
			return logs[len(logs)-1]
		}
		// Damage near a log's end looks like its end.
		harness.Eventually(p.t, "the log is long", func() bool {
			info, err := os.Stat(log())
			return err == nil && info.Size() > longLog
		})
		n.Kill()
		p.WaitDown(n)
		flip(p, log(), 1, 4)
		p.ops(someOps)
		n.Start()
		beyondRepair(p, n)
		p.ops(someOps)
		n.Replace()
		p.WaitBalanced()
		p.ops(someOps)
	}},
}

const longLog = 96 << 10 // bytes

// beyondRepair waits for the end of a server whose store cannot be mended.
func beyondRepair(p *play, n *harness.Node) {
	p.t.Helper()
	var words string
	harness.Eventually(p.t, n.Name+" gives up its store", func() (ended bool) {
		ended, words = n.Ended()
		return ended
	})
	if !strings.Contains(words, "Move the folder away") {
		p.t.Errorf("%s ended without saying what to do: %s", n.Name, words)
	}
}

// ending are a node's files in the order of their names, which is that in which
// they were made.
func ending(n *harness.Node, suffix string) []string {
	return n.Files(func(name string) bool { return strings.HasSuffix(name, suffix) })
}

func largest(p *play, paths []string) string {
	best, size := "", int64(-1)
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			p.t.Fatal(err)
		}
		if info.Size() > size {
			best, size = path, info.Size()
		}
	}
	return best
}

// flip changes one byte of a file, at a fraction of its length.
func flip(p *play, path string, num, denom int64) {
	info, err := os.Stat(path)
	if err != nil {
		p.t.Fatal(err)
	}
	at := info.Size() * num / denom
	damage.At(p.t, vfs.Default, path, at)
	p.t.Logf("flipped bits at %d of %d bytes of %s", at, info.Size(), path)
}
