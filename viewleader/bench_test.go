package viewleader

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"viewring/internal/wire"
	"viewring/viewleader/vocab"
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
	reg := vocab.Register{Store: [16]byte{1}, Instance: 1, Incarnation: 1, Addr: "h:1", Weight: 1, Whole: true}
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

// BenchmarkAppend is what an entry takes until it is durable, snapshots now and then
// among them.
func BenchmarkAppend(b *testing.B) {
	l, err := openLog(b.TempDir(), nil, logOptions(slog.New(slog.DiscardHandler)))
	if err != nil {
		b.Fatal(err)
	}
	if err := l.found(identity{id: 1}, snapshotAt(1, 1, nil)); err != nil {
		b.Fatal(err)
	}
	index, data := uint64(1), make([]byte, 150)
	for b.Loop() {
		index++
		if err := l.append(hardAt(1, index-1), []*pb.Entry{{Index: new(index), Term: new(uint64(1)), Data: data}}); err != nil {
			b.Fatal(err)
		}
		if index%10_000 == 0 {
			if err := l.compact(index, hardAt(1, index), &pb.ConfState{Voters: []uint64{1}}, make([]byte, 200_000)); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := l.close(); err != nil {
		b.Fatal(err)
	}
}
