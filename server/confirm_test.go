package server

import (
	"context"
	"testing"

	"viewring/internal/wire"
	"viewring/ring"
)

// TestConfirmFails: where a read needs the view leader's word that a term stands, and
// that does not come, or is not yes, the read is refused: it is neither answered from
// the copy nor left waiting. With the word it is answered.
func TestConfirmFails(t *testing.T) {
	t.Parallel()
	for name, vouch := range map[string]func(*miniLeader, *wire.Writer, []byte){
		"dies":       func(m *miniLeader, _ *wire.Writer, _ []byte) { m.hangUp() },
		"is silent":  func(*miniLeader, *wire.Writer, []byte) {},
		"refuses":    func(_ *miniLeader, w *wire.Writer, _ []byte) { w.WriteError("ERR not now") },
		"says no":    func(_ *miniLeader, w *wire.Writer, truth []byte) { w.WriteBulk(make([]byte, len(truth))) },
		"leaves out": func(_ *miniLeader, w *wire.Writer, _ []byte) { w.WriteBulk(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, 2, 2, 1)
			v, _ := c.leader.view()
			key := "k"
			primary := v.Partitions[ring.PartitionOf(ring.SlotOf(key), 2)].Primary()
			c.set(key, "v")
			for id, s := range c.servers { // whose promise the primary will lack
				if id != primary {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					delete(c.servers, id)
				}
			}
			conn := dial(t, c.servers[primary].Addr())
			get := func() (wire.Value, error) {
				ctx, cancel := context.WithTimeout(t.Context(), testWait)
				defer cancel()
				return conn.Do(ctx, []byte("GET"), []byte(key))
			}
			c.leader.setVouch(vouch)
			var v1 wire.Value
			var err error
			c.wait("a read is refused, when the lease is over", func() bool {
				v1, err = get()
				return err != nil
			})
			for range 2 {
				if !wire.IsCode(err, wire.CodeUnavailable) {
					t.Fatalf("%q, %v", v1.Bytes, err)
				}
				v1, err = get()
			}
			c.leader.setVouch(nil)
			c.wait("a read is answered with the view leader's word", func() bool {
				v1, err = get()
				return err == nil
			})
			if string(v1.Bytes) != "v" {
				t.Errorf("%q", v1.Bytes)
			}
		})
	}
}
