package wire

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"viewring/internal/codec"
	"viewring/viewleader/vocab"
)

func briefHeartbeat() []byte {
	q := leaderSamples.heartbeat
	q.Brief = true
	return AppendHeartbeat(nil, &q)
}

// earlierStats reads what a server says of itself as builds did before there was more.
func earlierStats(r *codec.Reader) (s vocab.ServerStats) {
	u32 := func() uint32 { return uint32(r.Uvarint()) }
	return vocab.ServerStats{
		Primaries: u32(), Backups: u32(), Learners: u32(), Strays: u32(),
		Keys: r.Uvarint(), Bytes: r.Uvarint(), Left: u32(), LeftBytes: r.Uvarint(),
		Rate: r.Uvarint(), DiskFree: r.Uvarint(), MovedPartitions: r.Uvarint(),
		DeltaPartitions: r.Uvarint(), CopiedKeys: r.Uvarint(),
		Clients: u32(), ClientsRefused: r.Uvarint(), ClientsCut: r.Uvarint(), RequestsRefused: r.Uvarint(),
		Corrupt: r.Uvarint(), Repaired: r.Uvarint(), Unrepairable: r.Uvarint(), Full: r.Bool(),
	}
}

func earlierHeartbeat(b []byte) (Heartbeat, error) {
	return decodeLeader("heartbeat", b, func(r *codec.Reader) (q Heartbeat) {
		q.ID = readServerID(r)
		q.Instance, q.Incarnation, q.Epoch = r.Uvarint(), r.Uvarint(), r.Uvarint()
		q.Stats = earlierStats(r)
		return q
	})
}

func earlierStatus(b []byte) (Status, error) {
	return decodeLeader("status", b, func(r *codec.Reader) Status {
		return Status{View: r.Bytes(), Servers: readList(r, 40, func() ServerStatus {
			return ServerStatus{ID: readServerID(r), Age: readDuration(r), Epoch: r.Uvarint(), Down: readTime(r), Stats: earlierStats(r),
				Failures: uint32(r.Uvarint()), Held: readTime(r)}
		})}
	})
}

// withoutLater is what an earlier build knows.
func withoutLater(s vocab.ServerStats) vocab.ServerStats {
	n := statsOf(&s)
	return n.stats(s.Full)
}

// TestStatsOfEarlierBuilds: each side understands what the other says, as far as both
// know of it.
func TestStatsOfEarlierBuilds(t *testing.T) {
	q := leaderSamples.heartbeat
	got, err := earlierHeartbeat(briefHeartbeat())
	if want := withoutLater(q.Stats); err != nil || got.Stats != want {
		t.Errorf("an earlier view leader takes a brief heartbeat for %+v, %v, not %+v", got.Stats, err, want)
	}
	if got, err = DecodeHeartbeat(briefHeartbeat()); err != nil || got.Stats != withoutLater(q.Stats) {
		t.Errorf("an earlier server's heartbeat is taken for %+v, %v", got.Stats, err)
	}
	if st, err := earlierStatus(AppendStatus(nil, &leaderSamples.status)); err != nil {
		t.Errorf("an earlier client cannot read a status: %v", err)
	} else {
		for _, want := range leaderSamples.status.Servers {
			want.Stats = withoutLater(want.Stats)
			found := 0
			for _, v := range st.Servers {
				if v.ID == want.ID {
					found++
					if !reflect.DeepEqual(v, want) {
						t.Errorf("an earlier client takes a server for %+v, not %+v", v, want)
					}
				}
			}
			if found != 1 {
				t.Errorf("an earlier client sees %d of %v", found, want.ID)
			}
		}
	}
}

// TestLaterPlaces: builds know the later numbers by their places, so none moves.
func TestLaterPlaces(t *testing.T) {
	bits := laterOf(&vocab.ServerStats{Collecting: true, Checkpointing: true})
	last := laterOf(&vocab.ServerStats{RequestBytesMax: 7})
	if bits != (laterStats{17: 3}) || last != (laterStats{16: 7}) {
		t.Errorf("the bits are in %v, the number before them in %v", bits, last)
	}
}

// TestStatsOfLaterBuilds passes over what a build to come may add.
func TestStatsOfLaterBuilds(t *testing.T) {
	q := leaderSamples.heartbeat
	brief := briefHeartbeat()
	b := AppendHeartbeat(nil, &q)
	later := append(bytes.Clone(brief), b[len(brief)]+1) // one number more
	later = append(append(later, b[len(brief)+1:]...), 77)
	if got, err := DecodeHeartbeat(later); err != nil || got != q {
		t.Errorf("a later server's heartbeat is taken for %+v, %v, not %+v", got, err, q)
	}
	s := Status{Servers: []ServerStatus{{ID: 3, Stats: vocab.ServerStats{LogKeys: 9}}}}
	b = AppendStatus(nil, &s)
	b[2]++ // one entry more
	n := statsFields{5, 6, 7}
	b = appendStatusEntry(b, &ServerStatus{Epoch: 40}, &n)
	if got, err := DecodeStatus(b); err != nil || !reflect.DeepEqual(got.Servers, s.Servers) {
		t.Errorf("a later view leader's status is taken for %+v, %v", got, err)
	}
}

// TestHeartbeatToAnEarlierViewLeader is refused once, and then brief; a view leader of
// this build that comes after it hears everything again.
func TestHeartbeatToAnEarlierViewLeader(t *testing.T) {
	earlier, refused, heard := true, 0, Heartbeat{}
	head := newFakeLeader(t, func(args []string, w *Writer) bool {
		b := []byte(args[1])
		var err error
		if heard, err = DecodeHeartbeat(b); earlier {
			heard, err = earlierHeartbeat(b)
		}
		if err != nil {
			refused++
			w.WriteError(CodeErr + " " + err.Error())
			return true
		}
		w.WriteBulk(AppendHeartbeatReply(nil, &leaderSamples.beat))
		return true
	})
	l := NewLeader([]string{head.addr()}, nil)
	defer l.Close()
	q := Heartbeat{ID: 1, Stats: vocab.ServerStats{Keys: 2, LogDisk: 3}}
	beat := func() {
		t.Helper()
		if got, err := l.Heartbeat(t.Context(), q); err != nil || got.Every != time.Second {
			t.Fatal(got, err)
		}
	}
	for range 10 {
		beat()
	}
	if refused != 1 || heard.Stats.Keys != 2 || heard.Stats.LogDisk != 0 {
		t.Errorf("%d heartbeats were refused, the last one heard was %+v", refused, heard)
	}
	earlier = false
	for range leaderBrief {
		beat()
	}
	if refused != 1 || heard.Stats != q.Stats {
		t.Errorf("%d heartbeats were refused, the last one heard was %+v", refused, heard)
	}
}
