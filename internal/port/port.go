// Package port says where viewring listens: the ports that people expect, how to get one
// that another program has for a moment, and free ones for private clusters and tests.
package port

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"syscall"
	"time"
)

// The ports that people expect. They lie below the ports that systems give to outgoing
// connections (Linux: from 32768, IANA and most others: from 49152), which any program
// may have for a while, and below Kubernetes's node ports (from 30000); in stretches of
// IANA's registry without an entry (28241–28588 and 28590–28999), and where no program
// that is often met listens without one (28015 and 28017 are databases', 28332 is
// Bitcoin's, 28910 and 28960 are games').
const (
	ViewLeader  = 28500
	Gateway     = 28400
	ZooKeeper   = 28410
	HTTP        = 28420
	Page        = 28430
	ServerFirst = 28600 // servers take the first free one
	ServerLast  = 28699
)

// Local is an address on this machine.
func Local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

const (
	patience = 5 * time.Second // for a port that is only borrowed
	retry    = 100 * time.Millisecond
)

// Listen listens on a TCP address. Where another program's outgoing connection has the
// port, or nobody who can be seen, it tries again for five seconds, and says so; a port
// at which somebody listens is an error at once. The error wraps syscall.EADDRINUSE and
// says who has the port, where the system tells (Linux, of programs of the same user).
func Listen(ctx context.Context, addr string, logger *slog.Logger) (net.Listener, error) {
	var lc net.ListenConfig
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(retry)
	defer again.Stop()
	for said := false; ; {
		l, err := lc.Listen(ctx, "tcp", addr)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
		holders := holdersOf(addr)
		if listened(holders) {
			return nil, taken(err, holders)
		}
		if !said {
			logger.Warn("waiting for a port that is only borrowed", "addr", addr, "err", taken(err, holders), "patience", patience)
			said = true
		}
		select {
		case <-again.C:
		case <-deadline.C:
			return nil, taken(err, holders)
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; %w", taken(err, holders), context.Cause(ctx))
		}
	}
}

// ListenFirst listens on the first free port of those where people look for servers.
func ListenFirst(ctx context.Context) (net.Listener, error) { return listenFirst(ctx, nil) }

func listenFirst(ctx context.Context, taken map[string]bool) (net.Listener, error) {
	var lc net.ListenConfig
	var last error
	for port := ServerFirst; port <= ServerLast; port++ {
		if taken[Local(port)] {
			continue
		}
		l, err := lc.Listen(ctx, "tcp", Local(port))
		if err == nil {
			return l, nil
		}
		last = err
	}
	return nil, fmt.Errorf("no free port from %d to %d: %w", ServerFirst, ServerLast, last)
}

// FirstFree is where ListenFirst would listen now, if it left out addresses that others have
// who do not listen yet.
func FirstFree(taken map[string]bool) (addr string, err error) {
	l, err := listenFirst(context.Background(), taken)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Check returns Listen's error where it would not even try again.
func Check(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l.Close()
	}
	holders := holdersOf(addr)
	if errors.Is(err, syscall.EADDRINUSE) && len(holders) > 0 && !listened(holders) {
		return nil
	}
	return taken(err, holders)
}

// isFree reports whether one can listen at addr now.
func isFree(addr string) bool {
	l, err := net.Listen("tcp", addr)
	return err == nil && l.Close() == nil
}
