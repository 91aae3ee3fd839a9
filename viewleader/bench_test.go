package viewleader

import (
	"fmt"
	"sync/atomic"
	"testing"

	"viewring/internal/wire"
)

// BenchmarkLock takes and releases locks over real sockets, synced to the disk
// that holds the temporary folder. Each client has locks of its own.
func BenchmarkLock(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s, err := Start(b.Context(), Options{Listen: "127.0.0.1:0", Data: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			var next, left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan error, clients)
			b.ResetTimer()
			for range clients {
				go func() {
					l := wire.NewLeader([]string{s.Addr()}, nil)
					defer l.Close()
					name := fmt.Sprint("lock", next.Add(1))
					for left.Add(-1) >= 0 {
						if _, err := l.LockGet(b.Context(), wire.LockAsk{Lock: name, Client: "c"}); err != nil {
							done <- err
							return
						}
						if err := l.LockFree(b.Context(), name, "c", 0); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range clients {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHeartbeat is what one heartbeat costs, round trip and all.
func BenchmarkHeartbeat(b *testing.B) {
	s, err := Start(b.Context(), Options{Listen: "127.0.0.1:0", Data: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l := wire.NewLeader([]string{s.Addr()}, nil)
	defer l.Close()
	reg := wire.Register{Store: [16]byte{1}, Instance: 1, Incarnation: 1, Addr: "h:1", Weight: 1, Whole: true}
	got, err := l.Register(b.Context(), reg)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := l.Heartbeat(b.Context(), wire.Heartbeat{ID: got.ID, Instance: 1, Incarnation: 1})
		if err != nil || !r.Known {
			b.Fatal(r, err)
		}
	}
}
