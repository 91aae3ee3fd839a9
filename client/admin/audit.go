package admin

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wait"
	"viewring/ring"
)

// Problem is something wrong with one key's copies.
type Problem struct {
	Key  string
	What string
}

// Audit is what the stores of all servers hold, compared with where it belongs.
type Audit struct {
	Epoch    uint64
	Keys     int             // distinct user keys found
	Copies   int             // of them, on all servers
	Problems []Problem       // the first thousand
	Down     []ring.ServerID // could not be asked: what they hold is not known
	Sums     map[string]Copy // of each key, the first copy found
}

const (
	auditWorkers = 8
	auditTries   = 5 // writes and handoffs under way look like faults for a moment
	auditPause   = 200 * time.Millisecond
	problemsMax  = 1000
)

// Audit asks every server's store which user keys it holds, with versions and
// checksums computed from the stored bytes, and reports each key that is not on
// exactly its targets with equal copies. Servers that are down cannot be asked;
// Down names them.
func (c *Cluster) Audit(ctx context.Context) (*Audit, error) { return c.audit(ctx, auditTries) }

// AuditOnce is Audit without a second look: what is under way shows as a fault.
// It is for a cluster that says that it is balanced while nobody writes.
func (c *Cluster) AuditOnce(ctx context.Context) (*Audit, error) { return c.audit(ctx, 1) }

func (c *Cluster) audit(ctx context.Context, tries int) (*Audit, error) {
	a := &auditor{cluster: c, tries: tries, servers: make(map[ring.ServerID]*Server), holds: make(map[ring.ServerID]map[ring.PartitionID]bool)}
	a.out.Sums = make(map[string]Copy)
	if err := a.connect(ctx); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer a.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var next atomic.Int32
	var working sync.WaitGroup
	errs := make(chan error, auditWorkers)
	partitions := len(c.View().Partitions)
	for range auditWorkers {
		working.Go(func() {
			for p := next.Add(1) - 1; int(p) < partitions; p = next.Add(1) - 1 {
				if err := a.partition(ctx, ring.PartitionID(p)); err != nil {
					errs <- err
					cancel()
					return
				}
			}
		})
	}
	working.Wait()
	select {
	case err := <-errs:
		return nil, fmt.Errorf("audit: %w", err)
	default:
	}
	a.out.Epoch = c.View().Epoch
	return &a.out, nil
}

type auditor struct {
	cluster *Cluster
	tries   int // looks at a partition in which something is wrong
	servers map[ring.ServerID]*Server
	holds   map[ring.ServerID]map[ring.PartitionID]bool // which partitions a server had any key of, at the start

	mu  sync.Mutex // guards out, tables
	out Audit

	tableOf *ring.View
	table   *ring.Table
}

// connect opens a connection to every server that is up.
func (a *auditor) connect(ctx context.Context) error {
	v := a.cluster.View()
	for i := range v.Members {
		m := &v.Members[i]
		if !m.Up {
			a.out.Down = append(a.out.Down, m.ID)
			continue
		}
		s, err := DialServer(ctx, m.Addr, a.cluster.dialer)
		if err != nil {
			a.close()
			return err
		}
		a.servers[m.ID] = s
		held, err := s.Partitions(ctx)
		if err != nil {
			a.close()
			return err
		}
		a.holds[m.ID] = make(map[ring.PartitionID]bool, len(held))
		for _, p := range held {
			a.holds[m.ID][p] = true
		}
	}
	return nil
}

func (a *auditor) close() {
	for _, s := range a.servers {
		_ = s.Close() // only read from
	}
}

// targets returns the targets of p in the newest view.
func (a *auditor) targets(p ring.PartitionID) ([]ring.ServerID, error) {
	v := a.cluster.View()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tableOf != v {
		t, err := TableOf(v)
		if err != nil {
			return nil, err
		}
		a.tableOf, a.table = v, t
	}
	if a.table == nil {
		return nil, nil
	}
	return a.table.Targets(p), nil
}

// partition checks one partition, more than once when something is wrong.
func (a *auditor) partition(ctx context.Context, p ring.PartitionID) error {
	for try := 1; ; try++ {
		held, err := a.collect(ctx, p, try > 1)
		if err != nil {
			return err
		}
		targets, err := a.targets(p)
		if err != nil {
			return err
		}
		problems := a.check(held, targets)
		if len(problems) == 0 || try == a.tries {
			a.take(held, problems)
			return nil
		}
		if !wait.For(ctx, auditPause) {
			return ctx.Err()
		}
	}
}

type holding struct {
	server ring.ServerID
	copy   Copy
}

// collect gathers the copies of the partition's keys from the servers that had
// any, or from all of them.
func (a *auditor) collect(ctx context.Context, p ring.PartitionID, all bool) (map[string][]holding, error) {
	held := make(map[string][]holding)
	for id, s := range a.servers {
		if !all && !a.holds[id][p] {
			continue
		}
		for k, err := range s.Copies(ctx, p) {
			if err != nil {
				return nil, err
			}
			held[k.Key] = append(held[k.Key], holding{id, k})
		}
	}
	return held, nil
}

func (a *auditor) check(held map[string][]holding, targets []ring.ServerID) []Problem {
	var problems []Problem
	for key, on := range held {
		if what := a.fault(on, targets); what != "" {
			problems = append(problems, Problem{key, what})
		}
	}
	return problems
}

// fault says what is wrong with the copies of one key, or "".
func (a *auditor) fault(on []holding, targets []ring.ServerID) string {
	var holders []ring.ServerID
	for _, h := range on {
		holders = append(holders, h.server)
		switch first := on[0].copy; {
		case h.copy.Corrupt:
			return fmt.Sprintf("corrupt on %v", h.server)
		case h.copy.Version != first.Version:
			return fmt.Sprintf("at version %v on %v, %v on %v", first.Version, on[0].server, h.copy.Version, h.server)
		case h.copy.Sum != first.Sum || h.copy.Length != first.Length:
			return fmt.Sprintf("different bytes on %v and %v", on[0].server, h.server)
		}
	}
	var want []ring.ServerID // those that could be asked
	for _, id := range targets {
		if a.servers[id] != nil {
			want = append(want, id)
		}
	}
	if !ring.SameServers(holders, want) {
		slices.Sort(holders)
		return fmt.Sprintf("on %v, its targets are %v", holders, targets)
	}
	return ""
}

func (a *auditor) take(held map[string][]holding, problems []Problem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, on := range held {
		a.out.Keys++
		a.out.Copies += len(on)
		a.out.Sums[key] = on[0].copy
	}
	room := max(problemsMax-len(a.out.Problems), 0)
	a.out.Problems = append(a.out.Problems, problems[:min(room, len(problems))]...)
}
