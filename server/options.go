package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"viewring/internal/disk"
	"viewring/internal/port"
	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/server/replica"
	"viewring/server/store"
)

// Options of a Server. Data and LeaderAddrs are required.
type Options struct {
	Listen         string        // host:port; "" means loopback and the first free one of the servers' ports
	Advertise      string        // where others reach this server; "" means the address listened on
	Data           string        // folder
	Zone           string        // "" where zones are not used
	LeaderAddrs    []string      // of the view leaders
	RebalanceRate  int64         // bytes/s that this server copies in; 0 means no limit
	DiskReserve    int64         // bytes of free disk below which it takes nothing new; 0: 64 MiB; never less than what the store needs
	HeartbeatEvery time.Duration // 0: as the view leader wants it
	ScrubEvery     time.Duration // how often everything is read and verified; 0: when asked to
	Lanes          int           // event loops; 0: chosen by the number of cores
	Bounds         Bounds        // of what clients may take
	Memory         int64         // bytes that it may take, for the index, items that are kept, and buffers; 0: DefaultMemory
	// LimitHeap tells the process' collector its limit: debug.SetMemoryLimit, of a server
	// that has the process to itself. nil: nobody is told.
	LimitHeap func(bytes int64) int64
	// PaceHeap tells it how much garbage may come together: debug.SetGCPercent, likewise.
	PaceHeap func(percent int) int
	Store    store.Options
	Secure   secure.Config // of all connections; default: not encrypted, no password

	Logger  *slog.Logger // nil: slog.Default
	Console io.Writer    // where VR.PRINT prints; nil: standard output

	// For tests.
	ItemBytes int64                  // items kept in memory, in bytes; 0: what Memory leaves for them
	FS        disk.FS                // nil: the folder Data
	Listener  net.Listener           // instead of Listen; nil: the network's
	Dial      wire.DialFunc          // nil: the network
	Now       func() replica.Instant // nil: the machine's clocks
}

// Bounds and intervals of a server.
const (
	heartbeatDefault  = 150 * time.Millisecond
	busyTickEvery     = 25 * time.Millisecond
	handoffEvery      = 100 * time.Millisecond // between those that leave the primary where it is
	calmTickEvery     = 150 * time.Millisecond // of a lane to which nothing came
	calmAfter         = 3 * time.Second        // for so long
	laneEventsMax     = 16 << 10               // waiting for a lane, beyond which connections and links wait
	laneDrainMax      = 1024                   // events between two batches
	gatherMax         = time.Millisecond       // that a lane waits for a sync before its next batch
	commitsMax        = 64                     // batches of a lane not yet durable, beyond which it waits
	connsMax          = 10_000                 // connections
	callsMax          = 1024                   // requests of one connection without an answer
	connMemoryDefault = 128 << 20              // the same of one connection: who does not read harms nobody else
	writeTimeout      = 10 * time.Second
	linkTimeout       = 5 * time.Second // dialing, greeting, one frame
	redialMin         = 20 * time.Millisecond
	redialMax         = 500 * time.Millisecond
	peerBytesMax      = 64 << 20 // waiting for a link, beyond which messages are dropped
	peerIdleBytesMax  = 1 << 20  // the same while the link is down
	frameBytesMax     = 4 << 20  // gathered into one frame; a single message may be longer
	leaderTimeout     = 2 * time.Second
	registerTimeout   = 15 * time.Second // the view leader may wait for a predecessor to prove dead
	viewWait          = 10 * time.Second
	leaderRequestsMax = 64 << 10
	hungAfter         = 2 * time.Second // a lane that stands still so long stops the heartbeats
)

// linkLimits bound what is read from another server: frames carry whole windows.
var linkLimits = wire.Limits{
	BulkBytesMax:  128 << 20,
	LineBytesMax:  4 << 10,
	ArgsMax:       4,
	TotalBytesMax: 129 << 20,
	DepthMax:      2,
	Ahead:         frameBytesMax,
}

func (o *Options) setDefaults() error {
	if o.Data == "" {
		return errors.New("a server needs a data folder")
	}
	if len(o.LeaderAddrs) == 0 {
		return errors.New("a server needs the address of a view leader")
	}
	if o.Lanes == 0 {
		o.Lanes = lanesDefault()
	}
	if o.Store.WarmBytes == 0 {
		o.Store.WarmBytes = machineMemory() / warmShare
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory()
	}
	o.Bounds.fill()
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
		d := &net.Dialer{Timeout: linkTimeout}
		o.Dial = d.DialContext
	}
	o.Dial = o.Secure.Dialer(o.Dial)
	if o.Now == nil {
		o.Now = func() replica.Instant {
			return replica.Instant{Mono: monotonic(), Wall: time.Now().UnixMilli()}
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
