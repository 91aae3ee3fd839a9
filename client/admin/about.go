package admin

import (
	"context"
	"net"
	"time"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/wire"
)

// About is what a process tells about itself, and how its clock stands.
type About struct {
	Version         string
	At              time.Time     // by its clock, when it answered
	Ahead           time.Duration // its clock of this machine's; below zero: behind
	Within          time.Duration // how much Ahead may be off, by the time that the answer took
	Files, FilesMax uint64        // file descriptors: in use, about; that the system lets it have; 0: not known
	// SlowSync is how long the newest write took that took very long to be on its disk, a second or more, and
	// SlowSyncAt when that was; the zero time: there was none.
	SlowSync   time.Duration
	SlowSyncAt time.Time
	Unlinked   []UnlinkedPeer // servers that are up, and that it can't connect to
}

// About asks the server about itself. One of an earlier build is client.ErrRefused.
func (s *Server) About(ctx context.Context) (About, error) {
	return about(func() (wire.Value, error) { return s.do(ctx, wire.CmdAbout) })
}

// AboutViewLeader asks the view leader at an address about itself, whether or not it is the head. A nil dial is net.Dialer's.
// One of an earlier build is client.ErrRefused.
func AboutViewLeader(ctx context.Context, addr string, dial client.DialFunc) (About, error) {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := wire.Dial(ctx, addr, dial, wire.DefaultLimits)
	if err != nil {
		return About{}, route.Failed(ctx, "view leader "+addr, err)
	}
	defer conn.Close() // it was asked all
	return about(func() (wire.Value, error) {
		v, err := conn.Do(ctx, []byte(wire.CmdVLAbout))
		return v, route.Failed(ctx, "view leader "+addr, err)
	})
}

func about(ask func() (wire.Value, error)) (About, error) {
	began := time.Now()
	v, err := ask()
	took := time.Since(began)
	if err != nil {
		return About{}, err
	}
	raw, err := wire.DecodeAbout(v.Bytes)
	return About{Version: raw.Version, At: raw.At, Ahead: raw.At.Sub(began.Add(took / 2)), Within: took / 2,
		Files: raw.Files, FilesMax: raw.FilesMax, SlowSync: raw.SlowSync, SlowSyncAt: raw.SlowSyncAt, Unlinked: raw.Unlinked}, err
}
