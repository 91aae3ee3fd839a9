package server

import (
	"time"

	"viewring/internal/files"
	"viewring/internal/wire"
)

// slowSync is how long a synced write may take before it is told about.
const slowSync = time.Second

// runAbout is VR.ABOUT.
func (c *conn) runAbout([][]byte) error {
	took, at := c.s.meters.slow.Newest()
	c.replyBulk(wire.AppendAbout(nil, &wire.About{Version: c.s.opts.Version, At: time.UnixMilli(c.s.wall()), Files: uint64(files.InUse()), FilesMax: uint64(files.Limit()),
		SlowSync: took, SlowSyncAt: at, Unlinked: c.s.unlinked.list()}))
	return nil
}
