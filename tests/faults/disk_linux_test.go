package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"viewring/client"
	"viewring/tests/harness"
)

func init() { scenes = append(scenes, fullDisks...) }

const mib = 1 << 20

// Disks that get full, and larger when there is no other way.
var fullDisks = []scene{
	{name: "a full disk", servers: 4, flags: []string{"--disk-reserve", fmt.Sprint(24 * mib)}, disks: map[string]int64{"s1": 48 * mib}, play: func(p *play) {
		n := p.Servers[0]
		p.fill()
		p.fill() // more than fits, with what waits to be collected
		harness.Eventually(p.t, "nothing is left at "+n.Name, func() bool { return p.actsFor(n) == 0 })
		p.ops(2 * someOps)
		resize(p.t, n, 1024*mib)
	}},
	{name: "all disks full", servers: 3, flags: []string{"--disk-reserve", fmt.Sprint(24 * mib)},
		disks: map[string]int64{"s1": 96 * mib, "s2": 96 * mib, "s3": 96 * mib}, play: func(p *play) {
			p.fillUp()
			p.ops(someOps) // of reads
			for _, n := range p.Servers {
				if ended, words := n.Ended(); ended {
					p.t.Errorf("%s has ended: %s", n.Name, words)
				}
				resize(p.t, n, 1024*mib)
			}
			harness.Eventually(p.t, "writes are taken again", func() bool {
				_, err := p.Client.Set(p.t.Context(), "again", nil, client.Always())
				return err == nil
			})
			p.ops(someOps)
		}},
}

// fullBytes is how long the values are that fill a disk: few, because it is not the number
// of writes that counts.
const fullBytes = 60_000

// fillUp writes until it is told that there is no room.
func (p *play) fillUp() {
	p.t.Helper()
	p.bulky = make(map[string]string)
	rng := rand.NewChaCha8([32]byte{2})
	for i := 0; ; i++ {
		value := make([]byte, fullBytes)
		_, _ = rng.Read(value) // never fails
		key := fmt.Sprintf("bulky/%d", i)
		switch _, err := p.Client.Set(p.t.Context(), key, value, client.Always()); {
		case err == nil:
			p.bulky[key] = string(value)
		case errors.Is(err, client.ErrDiskFull):
			p.t.Logf("after %d values: %v", len(p.bulky), err)
			return
		default:
			p.t.Fatal(err)
		}
	}
}

// actsFor counts the partitions for which a server acts.
func (p *play) actsFor(n *harness.Node) (count int) {
	v := p.Admin.View()
	for i := range v.Partitions {
		for _, id := range v.Partitions[i].Acting {
			if v.Member(id).Addr == n.Addr {
				count++
			}
		}
	}
	return count
}

// smallDisks mounts file systems in memory, which only root can, and says where
// servers keep their data.
func smallDisks(t *testing.T, bytes map[string]int64) func(name string) string {
	t.Helper()
	dir := t.TempDir()
	for name, size := range bytes {
		at := filepath.Join(dir, name)
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("viewring-test", at, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
			t.Skipf("a small disk needs root: mount: %v", err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", at, err)
			}
		})
	}
	return func(name string) string { return filepath.Join(dir, name, "data") }
}

func resize(t *testing.T, n *harness.Node, bytes int64) {
	t.Helper()
	if err := syscall.Mount("", filepath.Dir(n.Data), "", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Fatal(err)
	}
}
