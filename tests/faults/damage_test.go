package faults

import (
	"bytes"
	"cmp"
	"os"
	"slices"
	"strings"

	"viewring/tests/damage"
	"viewring/tests/harness"
)

func init() { scenes = append(scenes, damages...) }

// Damage to a server's files while it is down.
var damages = []scene{
	{name: "a flipped byte in the log", servers: 4, play: func(p *play) {
		p.fillWith(2*longLog/bulkyBytes, bulkyBytes)
		n := p.Acting(hot, 1)[0]
		harness.Eventually(p.t, "the log is long", func() bool {
			n, err := written(largest(p, segments(n)))
			return err == nil && n > longLog
		})
		n.Kill()
		p.WaitDown(n)
		flip(p, largest(p, segments(n)), 1, 2)
		p.ops(someOps)
		n.Start()
		p.WaitBalanced()
		p.Scrub(n)
		p.ops(someOps)
	}},
	{name: "a flipped byte in a small store", servers: 4, play: func(p *play) {
		p.fillWith(bulkyKeys, 100)
		n := p.Acting(hot, 1)[0]
		n.Kill()
		p.WaitDown(n)
		flip(p, largest(p, segments(n)), 1, 2)
		n.Start()
		p.WaitBalanced()
		p.Scrub(n)
		p.ops(someOps)
		if said := n.Daemon().Stderr.Text(); strings.Contains(said, "registering again") {
			p.t.Errorf("%s was taken for dead while it repaired its store: %s", n.Name, said)
		}
	}},
	{name: "flipped bytes all over the log of a server", servers: 4, play: func(p *play) {
		p.fill()
		n := p.Acting(hot, 1)[0]
		n.Kill()
		p.WaitDown(n)
		for _, segment := range segments(n) {
			for i := range int64(8) {
				flip(p, segment, 1+i, 10)
			}
		}
		n.Start()
		p.WaitBalanced()
		p.Scrub(n)
		p.ops(someOps)
	}},
	{name: "a segment that is gone", servers: 4, play: func(p *play) {
		n := p.Acting(hot, 1)[0]
		for len(segments(n)) < 3 {
			p.fill()
		}
		n.Stop() // with a checkpoint: what is missing is known
		p.WaitDown(n)
		if err := os.Remove(segments(n)[0]); err != nil {
			p.t.Fatal(err)
		}
		n.Start()
		p.WaitBalanced()
		p.t.Log(p.Scrub(n))
		p.ops(someOps)
	}},
	{name: "a log that is gone", servers: 4, play: func(p *play) {
		p.fill()
		n := p.Acting(hot, 1)[0]
		n.Stop()
		p.WaitDown(n)
		for _, file := range segments(n) {
			if err := os.Remove(file); err != nil {
				p.t.Fatal(err)
			}
		}
		n.Start()
		beyondRepair(p, n)
		p.ops(someOps)
		n.Replace()
		p.WaitBalanced()
		p.ops(someOps)
	}},
}

// longLog is how many bytes of a log are enough for some to be damaged before its end.
const longLog = 96 << 10

// beyondRepair waits for the end of a server whose store cannot be repaired.
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

// segments are the files of a node's log in the order in which they were made.
func segments(n *harness.Node) []string {
	return n.Files(func(name string) bool { return strings.HasPrefix(name, "segment-") })
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
	damage.At(p.t, path, at)
	p.t.Logf("flipped bits at %d of %d bytes of %s", at, length, path)
}
