package viewleader

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"viewring/internal/disk"
	"viewring/internal/front"
	"viewring/internal/port"
	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// Options of a view leader. The zero value of a field means its default.
type Options struct {
	Listen   string       // host:port; default port.ViewLeader on loopback
	Listener net.Listener // instead of Listen
	Data     string       // folder that keeps everything; required

	// Peers are the addresses of all view leaders of the group that a new data
	// folder is to be of, this one's among them; none: this one alone. A folder that
	// belongs to a group knows better.
	Peers     []string
	Advertise string        // host:port where other view leaders and clients reach this one; default Listen
	Dial      wire.DialFunc // to other view leaders; default net.Dialer's
	Secure    secure.Config // of all connections; default: not encrypted, no password

	Recover RecoverOptions

	Partitions int // a power of two, fixed when the cluster is made; default as many as it has, 1024 in a new one
	MinCopies  int // default 2

	Heartbeat time.Duration // how often servers send one; default 150 ms
	DownAfter time.Duration // silence after which a server is down; default 900 ms
	OutAfter  time.Duration // time down after which others take over; default 5 min
	LeaseTTL  time.Duration // L of the protocol; default 600 ms
	// ColdGrace is how long after a start nobody is declared down while nobody
	// has been heard at all; default 30 s.
	ColdGrace time.Duration
	// ReturnGrace is how long after the first was heard the others may take;
	// default 5 s.
	ReturnGrace time.Duration

	// A server that failed FlapsMax times within FlapWindow stays out for FlapHold
	// when it fails again, twice as long with each failure more, unless it is needed;
	// default 5 in 10 min, 30 s.
	FlapsMax             int
	FlapWindow, FlapHold time.Duration

	SnapshotEvery  int // entries between snapshots of the roster; default 10000
	ConnectionsMax int // default 20000

	Version string // of the build, for whoever asks

	FS     disk.FS             // default: the folder Data
	Now    func() time.Time    // stamps and silence; default time.Now
	Logger *slog.Logger        // default: none
	Limits func(*front.Limits) // for tests: changes those of connections; default: nothing
}

func (o *Options) fill() {
	def(&o.Listen, port.Local(port.ViewLeader))
	def(&o.MinCopies, 2)
	def(&o.Heartbeat, 150*time.Millisecond)
	def(&o.DownAfter, 900*time.Millisecond)
	def(&o.OutAfter, 5*time.Minute)
	def(&o.LeaseTTL, 600*time.Millisecond)
	def(&o.ColdGrace, 30*time.Second)
	def(&o.ReturnGrace, 5*time.Second)
	def(&o.FlapsMax, 5)
	def(&o.FlapWindow, 10*time.Minute)
	def(&o.FlapHold, 30*time.Second)
	def(&o.SnapshotEvery, 10_000)
	def(&o.ConnectionsMax, 20_000)
	def(&o.Recover.QuietFor, 5*time.Second)
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	o.Dial = o.Secure.Dialer(o.Dial)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) validate() error {
	if o.Data == "" {
		return errors.New("no data folder given")
	}
	if len(o.peers()) > membersMax {
		return fmt.Errorf("%d view leaders: want at most %d", len(o.peers()), membersMax)
	}
	for _, addr := range append(o.peers(), o.Advertise) {
		if addr == "" {
			continue
		}
		if err := checkAddr(addr); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"heartbeat", o.Heartbeat}, {"down-after", o.DownAfter}, {"out-after", o.OutAfter}, {"lease", o.LeaseTTL},
		{"cold grace", o.ColdGrace}, {"return grace", o.ReturnGrace},
		{"flap window", o.FlapWindow}, {"flap hold", o.FlapHold},
	} {
		if d.value < time.Millisecond {
			return fmt.Errorf("%s %v: want at least 1ms", d.name, d.value)
		}
	}
	if o.DownAfter < 2*o.Heartbeat {
		return fmt.Errorf("down-after %v: want at least two heartbeats of %v", o.DownAfter, o.Heartbeat)
	}
	if o.OutAfter < o.DownAfter {
		return fmt.Errorf("out-after %v: want at least down-after %v", o.OutAfter, o.DownAfter)
	}
	if o.FlapsMax < 1 {
		return fmt.Errorf("at most %d failures: want more", o.FlapsMax)
	}
	if o.SnapshotEvery < 1 || o.ConnectionsMax < 1 {
		return fmt.Errorf("snapshot every %d entries, at most %d connections: want more", o.SnapshotEvery, o.ConnectionsMax)
	}
	c := o.rosterConfig([16]byte{})
	return c.Validate()
}

// newPartitions is how many a new cluster has.
func (o *Options) newPartitions() int { return cmp.Or(o.Partitions, 1024) }

func (o *Options) rosterConfig(cluster [16]byte) roster.Config {
	return roster.Config{Cluster: cluster, Partitions: o.newPartitions(), MinCopies: o.MinCopies, LeaseTTL: o.LeaseTTL}
}

// peers are Peers, each once, in an order that all of them agree on.
func (o *Options) peers() []string {
	sorted := slices.Sorted(slices.Values(o.Peers))
	return slices.Compact(sorted)
}

// checkAddr refuses what nobody could reach a view leader at.
func checkAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" || port == "0" {
		return fmt.Errorf("%q: want an address HOST:PORT that others can reach", addr)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%q: others can't reach %s; advertise an address that they can", addr, host)
	}
	return nil
}
