package faults

import (
	"bytes"
	"cmp"
	"os"
	"slices"
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
	{name: "a flipped byte in the table of a small store", servers: 4, play: func(p *play) {
		p.fillWith(bulkyKeys, 100) // a block holds those of dozens of partitions
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
		flipped := int64(0)
		for _, table := range ending(n, ".sst") {
			// A table of one block has what the store notes of itself beside the values:
			// without that it does not start.
			if size(p, table) > longTable {
				flip(p, table, 1+flipped%8, 10)
				flipped++
			}
		}
		if flipped < 4 {
			p.t.Fatalf("only %d tables were long enough", flipped)
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
		p.fillWith(2*longLog/bulkyBytes, bulkyBytes)
		harness.Eventually(p.t, "the log is long", func() bool {
			n, err := written(log())
			return err == nil && n > longLog
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

// Bytes of a log that is long enough to be damaged before its end, and of a table of many
// blocks.
const (
	longLog   = 96 << 10
	longTable = 256 << 10
)

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
	return slices.MaxFunc(paths, func(a, b string) int { return cmp.Compare(size(p, a), size(p, b)) })
}

func size(p *play, path string) int64 {
	n, err := written(path)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// written is the length of a file without the zeros at its end, which a log may have
// from the start.
func written(path string) (int64, error) {
	b, err := os.ReadFile(path)
	return int64(len(bytes.TrimRight(b, "\x00"))), err
}

// flip changes one byte of a file, at a fraction of what is written of it.
func flip(p *play, path string, num, denom int64) {
	length := size(p, path)
	at := length * num / denom
	damage.At(p.t, vfs.Default, path, at)
	p.t.Logf("flipped bits at %d of %d bytes of %s", at, length, path)
}
