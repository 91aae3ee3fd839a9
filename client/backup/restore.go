package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"viewring/ring"
)

const (
	restoresAtATime = 16 // partitions
	restorePasses   = 3  // over all of them: keys, nodes, records
)

// RestoreOptions of a restore.
type RestoreOptions struct {
	Run      uint64 // 0: the last
	Prefix   string // of the names, and of the paths; "": all
	Existing Existing
	DryRun   bool                // looks what is there, and writes nothing
	Rate     int64               // bytes a second; 0: as fast as it goes
	Told     func(done Progress) // called now and then, by one goroutine at a time; may be nil
}

// Restored is what a restore did.
type Restored struct {
	Run     *Manifest
	Counts  Counts // of keys
	Paths   Tally  // nodes that are no files
	Files   Tally
	Streams Tally              // record files
	Records uint64             // that were appended to them, or would be
	Notes   []string           // what else is to be known, up to notesMax
	Faults  []Fault            // why partitions were left out, without File
	LeftOut []ring.PartitionID // because of damage
}

// Tally is what became of what is at paths.
type Tally struct{ Written, Same, Kept uint64 }

const notesMax = 20

// restorer restores a run.
type restorer struct {
	chain []*Run // the newest first
	o     *RestoreOptions
	put   *putter
	began time.Time
	out   []bool // partitions that are left out

	records atomic.Uint64
	bytes   atomic.Int64 // of paths

	mu   sync.Mutex // guards done, told
	done int
	told time.Time
}

// Restore writes the keys, paths, files and records of a run to a cluster, whichever that is: each as it was when its partition was copied, and
// as a new version; keys with their expiries. All that is to be read is verified before anything is written: partitions in which something is damaged are left out, and
// told as Faults. Restored again, keys that are there are passed over. The error of a context that ended, or of a write, leaves
// the keys that were written so far.
func (f *Folder) Restore(ctx context.Context, c *Cluster, o RestoreOptions) (*Restored, error) {
	chain, err := f.chain(o.Run)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	m := chain[0].Manifest
	r := &restorer{chain: chain, o: &o, began: time.Now(), out: make([]bool, len(m.Partitions))}
	done := &Restored{Run: m}
	if err := r.verify(ctx, done); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	r.put = newPutter(ctx, c, o.Existing, o.DryRun, o.Rate)
	r.all(restoresAtATime, r.partition, r.put.cancel)
	done.Counts, err = r.put.end()
	if err != nil && !errors.Is(err, ErrExist) {
		return done, fmt.Errorf("restore: %w", err)
	}
	if failed := r.paths(ctx, c, done); failed != nil {
		return done, fmt.Errorf("restore: %w", failed)
	}
	if kept := done.Paths.Kept + done.Files.Kept + done.Streams.Kept; o.Existing == Fail && kept > 0 && err == nil {
		err = fmt.Errorf("%w: %d at paths", ErrExist, kept)
	}
	if err != nil {
		return done, fmt.Errorf("restore: %w", err)
	}
	return done, nil
}

// all has a function be called for each partition that is not left out, by some at a time, until one fails.
func (r *restorer) all(workers int, do func(p ring.PartitionID) error, failed func(error)) {
	var working sync.WaitGroup
	var next atomic.Int32
	var over atomic.Bool
	for range workers {
		working.Go(func() {
			for p := next.Add(1) - 1; int(p) < len(r.out) && !over.Load(); p = next.Add(1) - 1 {
				if r.out[p] {
					continue
				}
				if err := do(ring.PartitionID(p)); err != nil {
					over.Store(true)
					failed(err)
				}
				r.tell(1)
			}
		})
	}
	working.Wait()
}

// Key is a key in a backup.
type Key struct {
	Name, Value []byte
	Version     Version
	Expiry      int64 // unix milliseconds, 0 = never
}

// Each calls fn with the keys of a run, 0 for the last one, as Restore would write them, until it fails. They alias a buffer. An
// error that wraps ErrDamaged is of a partition: those before it were told.
func (f *Folder) Each(number uint64, fn func(k Key) error) error {
	chain, err := f.chain(number)
	if err != nil {
		return err
	}
	r := &restorer{chain: chain}
	for p := range chain[0].Manifest.Partitions {
		err := states(r.section(sectionKeys, ring.PartitionID(p)),
			func(x *record) error { return fn(Key{x.name, x.value, x.version, x.expiry}) }, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// verify reads all that is to be restored.
func (r *restorer) verify(ctx context.Context, done *Restored) error {
	for p := range r.out {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var err error
		for s := sectionKeys; s < sectionsEnd && err == nil; s++ {
			err = r.each(s, ring.PartitionID(p), func(*record) error { return nil })
		}
		switch {
		case errors.Is(err, ErrDamaged), errors.Is(err, ErrFormat):
			r.out[p] = true
			done.LeftOut = append(done.LeftOut, ring.PartitionID(p))
			if n := len(done.Faults); n == 0 || done.Faults[n-1].Err.Error() != err.Error() {
				done.Faults = append(done.Faults, Fault{Err: err})
			}
		case err != nil:
			return err
		}
	}
	return nil
}

// section is each, of one section of a partition.
func (r *restorer) section(s section, p ring.PartitionID) func(fn func(x *record) error) error {
	return func(fn func(x *record) error) error { return r.each(s, p, fn) }
}

// each calls fn with the records that the runs have in a section of a partition, from the last whole one on.
func (r *restorer) each(s section, p ring.PartitionID, fn func(x *record) error) error {
	for _, run := range r.chain {
		if err := run.records(s, p, fn); err != nil || run.Manifest.part(s, p).Whole {
			return err
		}
	}
	return fmt.Errorf("%s: %w: no run has all of partition %d", r.chain[len(r.chain)-1].Dir, ErrDamaged, p)
}

// partition restores a partition.
func (r *restorer) partition(p ring.PartitionID) error {
	return states(r.section(sectionKeys, p), func(x *record) error {
		r.records.Add(1)
		r.tell(0)
		return r.put.put(putItem{bytes.Clone(x.name), bytes.Clone(x.value), x.expiry})
	}, func(name []byte) bool { return bytes.HasPrefix(name, []byte(r.o.Prefix)) })
}

// states calls fn with the state of each key of a partition that there is, of which each tells all records, and with the bytes of files before
// it. Only keys that are wanted count; nil: all. It keeps in mind what was changed or deleted, and no values.
func states(each func(fn func(x *record) error) error, fn func(x *record) error, wanted func(name []byte) bool) error {
	if wanted == nil {
		wanted = func([]byte) bool { return true }
	}
	last := make(map[string]Version) // of what was changed or deleted
	told := make(map[string]bool)    // of these
	err := each(func(x *record) error {
		if x.kind == recordBody {
			return nil
		}
		if v, ok := last[string(x.name)]; x.kind != recordSet && wanted(x.name) && (!ok || v.Before(x.version)) {
			last[string(x.name)] = x.version
		}
		return nil
	})
	if err != nil {
		return err
	}
	return each(func(x *record) error {
		if x.kind == recordDeleted || !wanted(x.name) {
			return nil
		}
		if v, ok := last[string(x.name)]; ok {
			if x.version.Before(v) || told[string(x.name)] {
				return nil
			}
			if x.kind == recordBody { // of what is told next
				return fn(x)
			}
			told[string(x.name)] = true // of one version there may be two
		}
		return fn(x)
	})
}

// tell tells how far it is, now and then, and in the end.
func (r *restorer) tell(done int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done += done
	if r.o.Told == nil || r.done < restorePasses*len(r.out) && time.Since(r.told) < toldEvery {
		return
	}
	r.told = time.Now()
	r.o.Told(Progress{r.done / restorePasses, len(r.out), r.records.Load(), r.put.bytes.Load() + r.bytes.Load(), time.Since(r.began)})
}
