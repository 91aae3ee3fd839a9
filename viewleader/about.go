package viewleader

import (
	"time"

	"viewring/internal/files"
	"viewring/internal/wire"
)

// slowSync is how long a synced write may take before it is told about.
const slowSync = time.Second

// synced notes a synced write of the log.
func (s *Service) synced(took time.Duration) {
	s.meters.syncs.NoteTime(took)
	s.meters.slow.Note(took, slowSync, s.opts.Now())
}

// about answers CmdVLAbout.
func (c *conn) about(r *reply, _ [][]byte) {
	took, at := c.s.meters.slow.Newest()
	r.bulk(wire.AppendAbout(nil, &wire.About{Version: c.s.opts.Version, At: c.s.opts.Now(), Files: uint64(files.InUse()), FilesMax: uint64(files.Limit()),
		SlowSync: took, SlowSyncAt: at}))
}
