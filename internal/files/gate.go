package files

import (
	"context"
	"fmt"
	"log/slog"
	"net"
)

// Descriptors that clients can't have are a third of all, and no more than reserveMax. Half of
// them are for the process' own files and the connections that it makes, half for peers that
// connect.
const (
	reserveShare = 3
	reserveMax   = 512
)

// fewClients are so few that people should be told.
const fewClients = 1000

// Least is with how many descriptors a service starts.
const Least = 48

// Gate judges connections by their descriptors. The system gives out the lowest that is free,
// so a high one tells that few are left, whatever has the others: clients, segments of a log,
// or another service of the process. The zero Gate lets everybody in.
type Gate struct{ limit int }

// Verdict is whom a Gate lets have a descriptor.
type Verdict uint8

// The verdicts.
const (
	Everybody Verdict = iota
	Peers             // not clients
	Nobody
)

// NewGate returns the gate of this process.
func NewGate() Gate { return Gate{Limit()} }

// Judge says whom a connection may be of.
func (g Gate) Judge(nc net.Conn) Verdict { return g.judge(Of(nc)) }

func (g Gate) judge(descriptor int) Verdict {
	reserve := min(g.limit/reserveShare, reserveMax)
	switch {
	case g.limit == 0 || descriptor < g.limit-reserve:
		return Everybody
	case descriptor < g.limit-reserve/2:
		return Peers
	}
	return Nobody
}

// Compare tells the log where fewer clients will be let in than wanted. It is called once what the
// process needs at first is open.
func (g Gate) Compare(logger *slog.Logger, service string, wanted int) {
	if g.limit == 0 {
		return
	}
	room := max(0, g.limit-min(g.limit/reserveShare, reserveMax)-InUse())
	level := slog.LevelInfo
	if room < fewClients {
		level = slog.LevelWarn
	}
	if room < wanted {
		logger.Log(context.Background(), level, "the system lets this process have too few file descriptors for all clients that it may let in: raise 'ulimit -n' (LimitNOFILE of systemd), or let fewer in (--max-connections, where there is that flag)",
			"service", service, "max_connections", wanted, "room_for_about", room, "descriptors", g.limit)
	}
}

// Check is the error of a service that has too few descriptors to run.
func Check() error {
	if n := Limit(); n > 0 && n < Least {
		return fmt.Errorf("the system lets this process have %d file descriptors, and it needs %d at the least: raise 'ulimit -n' (LimitNOFILE of systemd)", n, Least)
	}
	return nil
}
