package server

import (
	"viewring/internal/files"
	"viewring/viewleader/vocab"
)

// stats gathers what the heartbeat tells.
func (s *Server) stats() vocab.ServerStats {
	var t vocab.ServerStats
	for _, l := range s.lanes {
		c := l.Stats()
		t.Primaries += uint32(c.Primaries)
		t.Backups += uint32(c.Backups)
		t.Learners += uint32(c.Learners)
		t.Strays += uint32(c.Strays)
		t.Keys += uint64(c.Keys)
		t.Bytes += uint64(c.Bytes)
		t.MovedPartitions += c.FullCopies
		t.DeltaPartitions += c.DeltaCopies
		t.CopiedKeys += c.CopiedKeys
		t.Corrupt += c.Corrupt
		t.Repaired += c.Repaired
		t.Unrepairable += c.Unrepairable
	}
	t.DiskFree, t.Full = s.store.DiskFree(), s.room.Full()
	reached := s.frontend.Reached()
	t.Clients, t.ClientsRefused, t.ClientsCut = uint32(s.frontend.Connected()), reached.Connections.Load(), reached.Cut.Load()+reached.Late.Load()
	t.RequestsRefused = reached.Requests.Load() + reached.Buffers.Load()
	t.LoginsRefused = reached.Logins.Count()
	t.Files, t.FilesMax = uint64(files.InUse()), uint64(files.Limit())
	if expires := s.opts.Secure.Expires(); !expires.IsZero() {
		t.CertExpires = uint64(expires.Unix())
	}
	s.unlinked.report(&t)
	s.mover.Report(&t)
	t.KnowsWeights = true
	s.storeStats(&t)
	return t
}

// storeStats adds how the log and the memory stand.
func (s *Server) storeStats(t *vocab.ServerStats) {
	g := s.store.Stats()
	t.LogKeys, t.LogSegments = uint64(g.Keys), uint64(g.Segments)
	t.LogDisk, t.LogLive, t.LogTombstones = uint64(g.DiskBytes), uint64(g.LiveBytes), uint64(g.Tombstones)
	t.LogWritten, t.LogCopied, t.LogFreed = uint64(g.Written), uint64(g.Copied), uint64(g.Freed)
	t.Checkpoints, t.CheckpointBytes, t.LogDamage = uint64(g.Checkpoints), uint64(g.CheckpointLen), g.Damage
	t.Collecting, t.Checkpointing = g.Collecting, g.Checkpointing
	t.Memory, t.IndexBytes = uint64(s.budget.Memory()), uint64(g.IndexBytes)
	t.ItemBytes, t.ItemBytesMax = uint64(s.lanes.ItemBytes()), uint64(s.budget.Items())
	t.RequestBytes, t.RequestBytesMax = uint64(max(0, s.frontend.Held())), uint64(s.budget.Requests())
}
