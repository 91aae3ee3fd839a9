package unit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	readyEvery  = 100 * time.Millisecond // looks until the process is ready
	statusEvery = 5 * time.Second        // and from then on
	extendEvery = 2 * time.Second
	extendBy    = 15 * time.Second // a process that hangs is killed after that
)

// Unit is the process as its service manager sees it. Any goroutine may call its methods; those of
// a nil Unit do nothing, so that who was not started by one need not care.
type Unit struct {
	logger *slog.Logger

	mu       sync.Mutex
	waiting  []string // services that are to come; guarded by mu
	services []service
	ready    bool // the manager knows
	stopping bool // nothing else is told from now on
	told     string
	failed   bool
}

type service struct {
	name  string
	ready func() error
}

// New returns the process as a unit, which is ready once the services of these names are; nil
// where no service manager wants to know.
func New(logger *slog.Logger, services ...string) *Unit {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	u := &Unit{logger: logger, waiting: services}
	u.tell("STATUS=starting")
	return u
}

// Add tells of a service from now on. ready says why it can't do its work now, or nil.
func (u *Unit) Add(name string, ready func() error) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.services = append(u.services, service{name, ready})
	u.waiting = slices.DeleteFunc(slices.Clone(u.waiting), func(n string) bool { return n == name })
}

// Run tells how the process is until ctx ends.
func (u *Unit) Run(ctx context.Context) {
	if u == nil {
		return
	}
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		if u.look() {
			tick.Reset(statusEvery)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look asks the services how they are, tells it, and reports whether the process has been ready.
func (u *Unit) look() bool {
	u.mu.Lock()
	services, waiting := u.services, u.waiting
	u.mu.Unlock()
	var problems []string
	for _, name := range waiting {
		problems = append(problems, name+": not up yet")
	}
	for _, s := range services {
		if err := s.ready(); err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", s.name, err))
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopping {
		return u.ready
	}
	status := "STATUS=serving"
	if len(problems) > 0 {
		status = "STATUS=" + strings.ReplaceAll(strings.Join(problems, "; "), "\n", " ")
	} else if !u.ready {
		u.ready = true
		status = daemon.SdNotifyReady + "\n" + status
	}
	u.tellChanged(status)
	return u.ready
}

// Reloading says that the process reads its files again; done says that it has.
func (u *Unit) Reloading() (done func()) {
	if u == nil {
		return func() {}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ready || u.stopping {
		return func() {}
	}
	u.tell(daemon.SdNotifyReloading + "\n" + monotonic() + "STATUS=reading certificates and password again")
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if !u.stopping {
			u.told = ""
			u.tellChanged(daemon.SdNotifyReady + "\nSTATUS=serving")
		}
	}
}

// Draining says that the process is on its way to its end, and doing what: until over is called
// the manager lets it take its time.
func (u *Unit) Draining(doing string) (over func()) {
	if u == nil {
		return func() {}
	}
	say := func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.stopping = true
		u.tell(fmt.Sprintf("%s\nSTATUS=%s\nEXTEND_TIMEOUT_USEC=%d", daemon.SdNotifyStopping, doing, extendBy.Microseconds()))
	}
	say()
	ended := make(chan struct{})
	var saying sync.WaitGroup
	saying.Go(func() {
		tick := time.NewTicker(extendEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				say()
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		saying.Wait()
		u.Ending()
	}
}

// Ending says that the process ends now.
func (u *Unit) Ending() {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopping = true
	u.tellChanged(daemon.SdNotifyStopping + "\nSTATUS=ending")
}

// tellChanged tells what was not told last. The caller holds mu.
func (u *Unit) tellChanged(state string) {
	if state != u.told {
		u.told = state
		u.tell(state)
	}
}

// tell sends a state. A manager that can't be told is logged once: the process goes on.
func (u *Unit) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil && !u.failed {
		u.failed = true
		u.logger.Warn("the service manager can't be told how this process is", "err", err)
	}
}
