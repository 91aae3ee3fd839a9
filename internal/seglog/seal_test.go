package seglog_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestSealBeforeCollection: a segment of which nothing lives is not freed while the seal is
// written that takes back that the store was closed.
func TestSealBeforeCollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
		opts := seglog.Options{SegmentBytes: 64 << 10, Manual: true}
		s := mustOpen(t, d, opts)
		if err := putSync(s, 1, "key", 1000); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, d, opts)
		sealing, goOn := make(chan bool), make(chan bool)
		d.Watch(func(st crashdisk.Step) error {
			if st.Kind == crashdisk.WriteSync && strings.HasSuffix(st.Name, "-0000000001") {
				sealing <- true
				<-goOn
			}
			return nil
		})
		done := make(chan error, 2)
		go func() { done <- putSync(s, 1, "key", 1000) }()
		<-sealing
		go func() { done <- s.CollectAll() }()
		synctest.Wait()
		if st := s.Stats(); st.Segments != 2 || st.Freed != 0 {
			t.Errorf("while it is sealed: %+v", st)
		}
		close(goOn)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if st := s.Stats(); st.Segments != 1 || st.Freed != 1 {
			t.Errorf("when it is sealed: %+v", st)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
