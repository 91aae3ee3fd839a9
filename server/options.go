package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"viewring/internal/disk"
	"viewring/internal/files"
	"viewring/internal/front"
	"viewring/internal/port"
	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/server/budget"
	"viewring/server/lane"
	"viewring/server/link"
	"viewring/server/machine"
	"viewring/server/redis"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/server/upkeep"
)

// Options of a Server. Data and LeaderAddrs are required.
type Options struct {
	Listen         string        // host:port; "" means loopback and the first free one of the servers' ports
	Advertise      string        // where others reach this server; "" means the address listened on
	Data           string        // folder
	Zone           string        // "" where zones are not used
	Weight         uint32        // its part of copies and primaries; 0: that of its last start, 1 at first
	KeepZone       bool          // where Zone is "": that of the last start, if there was one
	LeaderAddrs    []string      // of the view leaders
	RebalanceRate  int64         // bytes/s that this server copies in; 0 means no limit
	DiskReserve    int64         // bytes of free disk below which it takes nothing new; 0: 64 MiB; never less than what the store needs
	HeartbeatEvery time.Duration // 0: as the view leader wants it
	ScrubEvery     time.Duration // how often everything is read and verified; 0: when asked to
	Lanes          int           // event loops; 0: chosen by the number of cores
	Bounds         Bounds        // of what clients may take
	Memory         int64         // bytes that it may take, for the index, items that are kept, and buffers; 0: a share of the machine's
	// LimitHeap tells the process' collector its limit: debug.SetMemoryLimit, of a server
	// that has the process to itself. nil: nobody is told.
	LimitHeap func(bytes int64) int64
	// PaceHeap tells it how much garbage may come together: debug.SetGCPercent, likewise.
	PaceHeap func(percent int) int
	Store    store.Options
	Monitor  redis.Monitoring // of commands; the zero value: slow ones from 100 ms on, 128 of them
	Secure   secure.Config    // of all connections; default: not encrypted, no password
	Graces   Graces           // of contents of files that nothing names; 0: a minute, a quarter of an hour, an hour

	Version string       // of the build, for whoever asks
	Logger  *slog.Logger // nil: slog.Default
	Console io.Writer    // where VR.PRINT prints; nil: standard output

	// For tests.
	ItemBytes int64                  // items kept in memory, in bytes; 0: what Memory leaves for them
	FS        disk.FS                // nil: the folder Data
	Listener  net.Listener           // instead of Listen; nil: the network's
	Dial      wire.DialFunc          // nil: the network
	Now       func() replica.Instant // nil: the machine's clocks
	Limits    func(*front.Limits)    // changes those of connections; nil: nothing
}

// Graces are upkeep.Graces.
type Graces = upkeep.Graces

func (o *Options) setDefaults() error {
	if o.Data == "" {
		return errors.New("a server needs a data folder")
	}
	if err := files.Check(); err != nil {
		return err
	}
	if len(o.LeaderAddrs) == 0 {
		return errors.New("a server needs the address of a view leader")
	}
	if o.Lanes == 0 {
		o.Lanes = lane.Default()
	}
	if o.Store.WarmBytes == 0 {
		o.Store.WarmBytes = budget.WarmBytes()
	}
	if o.Memory == 0 {
		o.Memory = budget.Default()
	}
	o.Graces.Replaced = cmp.Or(o.Graces.Replaced, time.Minute)
	o.Graces.Writing = cmp.Or(o.Graces.Writing, 15*time.Minute)
	o.Graces.Sweep = cmp.Or(o.Graces.Sweep, time.Hour)
	o.Bounds.Fill()
	if o.Monitor == (redis.Monitoring{}) {
		o.Monitor = redis.Monitoring{SlowerThan: redis.SlowerThan, SlowLen: redis.SlowLen}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Console == nil {
		o.Console = os.Stdout
	}
	if o.FS == nil {
		fs, err := disk.Make(o.Data)
		if err != nil {
			return fmt.Errorf("make data folder: %w", err)
		}
		o.FS = fs
	}
	if o.Dial == nil {
		d := &net.Dialer{Timeout: link.Timeout}
		o.Dial = d.DialContext
	}
	o.Dial = o.Secure.Dialer(o.Dial)
	if o.Now == nil {
		o.Now = func() replica.Instant {
			return replica.Instant{Mono: machine.Monotonic(), Wall: time.Now().UnixMilli()}
		}
	}
	return nil
}

// listen opens the listener and says under which address others find it.
func listen(ctx context.Context, o *Options) (net.Listener, string, error) {
	if o.Listener != nil {
		return advertised(o.Listener, o)
	}
	if o.Listen != "" {
		l, err := port.Listen(ctx, o.Listen, o.Logger)
		if err != nil {
			return nil, "", fmt.Errorf("listen on %s: %w", o.Listen, err)
		}
		return advertised(l, o)
	}
	l, err := port.ListenFirst(ctx)
	if err != nil {
		return nil, "", err
	}
	return advertised(l, o)
}

func advertised(l net.Listener, o *Options) (net.Listener, string, error) {
	if o.Advertise != "" {
		return o.Secure.Listener(l), o.Advertise, nil
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsUnspecified() {
		_ = l.Close() // unused
		return nil, "", fmt.Errorf("listening on %s, every address of this machine: say by --advertise which one others should use", l.Addr())
	}
	return o.Secure.Listener(l), l.Addr().String(), nil
}
