package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/client/file"
	"viewring/ring"
)

// looker reads the copies of files that each server has.
type looker struct {
	cluster *admin.Cluster
	a       *app

	mu      sync.Mutex
	servers map[ring.ServerID]*admin.Server

	copies, repaired, unchecked atomic.Int64
}

func (a *app) newLooker(ctx context.Context) (*looker, error) {
	cluster, err := a.openCluster(ctx)
	if err != nil {
		return nil, err
	}
	return &looker{cluster: cluster, a: a, servers: map[ring.ServerID]*admin.Server{}}, nil
}

func (l *looker) close() {
	for _, s := range l.servers {
		_ = s.Close() // only read from
	}
	_ = l.cluster.Close() // likewise
}

// server returns a connection to one; nil where it is down.
func (l *looker) server(ctx context.Context, view *ring.View, id ring.ServerID) (*admin.Server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := view.Member(id)
	if m == nil || !m.Up {
		return nil, nil
	}
	if s := l.servers[id]; s != nil {
		return s, nil
	}
	s, err := admin.DialServer(ctx, m.Addr, l.a.dialer())
	if err == nil {
		l.servers[id] = s
	}
	return s, err
}

// forget closes a connection that has failed.
func (l *looker) forget(id ring.ServerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.servers[id]; s != nil {
		_ = s.Close() // it is of no use
		delete(l.servers, id)
	}
}

// pieceCopy is what a server has of a piece.
type pieceCopy struct {
	id    ring.ServerID
	copy  admin.Copy
	what  string // "", or what is wrong: down, absent, damaged
	asked bool
}

// look asks all servers that the piece belongs on, as the view has it.
func (l *looker) look(ctx context.Context, p *file.Piece) ([]pieceCopy, error) {
	view := l.cluster.View()
	var all []pieceCopy
	for _, id := range view.Partitions[ring.PartitionOf(p.Slot, len(view.Partitions))].Acting {
		one := pieceCopy{id: id}
		s, err := l.server(ctx, view, id)
		if err == nil && s != nil {
			one.asked = true
			one.copy, err = s.Look(ctx, p.Name)
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, client.ErrNotFound):
			one.what = "absent"
		case err != nil:
			l.forget(id)
			one.what, one.asked = err.Error(), false
		case s == nil:
			one.what = "down"
		case one.copy.Corrupt:
			one.what = "damaged"
		}
		all = append(all, one)
	}
	return all, nil
}

// fault says what is wrong with the copies of a piece, or "".
func fault(all []pieceCopy) string {
	var first *pieceCopy
	for i := range all {
		one := &all[i]
		switch {
		case !one.asked:
		case one.what != "":
			return fmt.Sprintf("the copy on %v is %s", one.id, one.what)
		case first == nil:
			first = one
		case one.copy.Version != first.copy.Version:
			return fmt.Sprintf("at version %v on %v, %v on %v", first.copy.Version, first.id, one.copy.Version, one.id)
		case one.copy.Length != first.copy.Length || one.copy.Sum != first.copy.Sum:
			return fmt.Sprintf("different bytes on %v and %v", first.id, one.id)
		}
	}
	if first == nil {
		return "no server that has a copy can be asked"
	}
	return ""
}

const (
	deepPatience = 30 * time.Second // for what is damaged to be repaired, and for what is under way
	deepAgain    = 200 * time.Millisecond
)

// errMoved: a file was changed while its copies were looked at.
var errMoved = errors.New("the file was changed")

// piece compares the copies of a piece, and waits for damaged ones to be repaired.
func (l *looker) piece(ctx context.Context, f *file.FS, d *file.Details, p *file.Piece) error {
	damaged := map[ring.ServerID]bool{}
	for end := time.Now().Add(deepPatience); ; {
		all, err := l.look(ctx, p)
		if err != nil {
			return err
		}
		for _, one := range all {
			if one.copy.Corrupt {
				damaged[one.id] = true
			}
		}
		wrong := fault(all)
		if wrong == "" {
			for _, one := range all {
				if one.asked {
					l.copies.Add(1)
				} else {
					l.unchecked.Add(1)
				}
			}
			l.repaired.Add(int64(len(damaged)))
			return nil
		}
		if now, err := f.Stat(ctx, d.Path); err != nil || now.Modified != d.Modified {
			return errors.Join(errMoved, err)
		}
		if time.Now().After(end) {
			name := "its entry"
			if p.Chunk >= 0 {
				name = fmt.Sprintf("chunk %d", p.Chunk)
			}
			return fmt.Errorf("%w: %s: %s", client.ErrCorrupt, name, wrong)
		}
		again := time.NewTimer(deepAgain)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		}
	}
}

// deepWorkers is how many pieces of a file are looked at at a time.
const deepWorkers = 8

// file compares all copies of a file.
func (l *looker) file(ctx context.Context, f *file.FS, path string) error {
	for range 10 {
		d, err := f.Describe(ctx, path)
		if err != nil {
			return err
		}
		if err = l.pieces(ctx, f, &d); !errors.Is(err, errMoved) {
			return err
		}
	}
	return fmt.Errorf("%s: %w again and again", path, errMoved)
}

func (l *looker) pieces(ctx context.Context, f *file.FS, d *file.Details) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var working sync.WaitGroup
	places := make(chan struct{}, deepWorkers)
	for p := range d.Pieces() {
		places <- struct{}{}
		working.Go(func() {
			if err := l.piece(ctx, f, d, &p); err != nil {
				cancel(err)
			}
			<-places
		})
		if ctx.Err() != nil {
			break
		}
	}
	working.Wait()
	return context.Cause(ctx)
}

// told is what a deep verification adds to the answer.
func (l *looker) told() (map[string]any, string) {
	text := fmt.Sprintf("; %d copies compared, %d repaired", l.copies.Load(), l.repaired.Load())
	if n := l.unchecked.Load(); n > 0 {
		text += fmt.Sprintf(", %d on servers that are down not looked at", n)
	}
	return map[string]any{"copies": l.copies.Load(), "repaired": l.repaired.Load(), "unchecked": l.unchecked.Load()}, text
}

// chunkTable looks at all pieces of a file, for file stat.
func (l *looker) chunkTable(ctx context.Context, d *file.Details) (list []map[string]any, rows [][]string, err error) {
	list = []map[string]any{}
	for p := range d.Pieces() {
		all, err := l.look(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		name := "entry"
		if p.Chunk >= 0 {
			name = fmt.Sprint(p.Chunk)
		}
		copies := []map[string]any{}
		for _, one := range all {
			fields := map[string]any{"server": one.id.String(), "state": "ok"}
			row := []string{name, one.id.String(), one.what, "", ""}
			if one.what != "" {
				fields["state"] = one.what
			} else {
				sum := fmt.Sprintf("%016x", one.copy.Sum)
				fields["version"], fields["bytes"], fields["sum"] = one.copy.Version.String(), one.copy.Length, sum
				row = []string{name, one.id.String(), one.copy.Version.String(), fmt.Sprint(one.copy.Length), sum}
			}
			copies, rows = append(copies, fields), append(rows, row)
		}
		list = append(list, map[string]any{"chunk": p.Chunk, "copies": copies})
	}
	return list, rows, nil
}
