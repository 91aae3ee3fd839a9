package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"viewring/ring"
)

const copiesAtATime = 8 // partitions

// Options of a backup.
type Options struct {
	Whole   bool                // build upon no earlier run
	Rate    int64               // bytes a second that are read; 0: as fast as it goes
	Version string              // of the program
	Told    func(done Progress) // called now and then, by one goroutine at a time; may be nil
	Say     func(what string)   // for what people should know and is no error; likewise
}

// Progress is how far a run is.
type Progress struct {
	Partitions, Of int
	Records        uint64
	Bytes          int64
	Took           time.Duration
}

// sectionsWatched are copied by what the servers remember: keys and nodes.
const sectionsWatched = 2

const toldEvery = 200 * time.Millisecond

// ErrOtherCluster: the folder has backups of another cluster.
var ErrOtherCluster = errors.New("the folder has backups of another cluster")

// ToFolder copies all keys, paths, files and records of a cluster into a folder, as its next run: what changed since the last one, or
// all. It makes the folder if need be. Until the run is whole and on the disk it does not have its name.
func ToFolder(ctx context.Context, c *Cluster, dir string, o Options) (*Run, error) {
	if err := own(dir); err != nil {
		return nil, fmt.Errorf("backup to %s: %w", dir, err)
	}
	held, err := lock(dir)
	if err != nil {
		return nil, fmt.Errorf("backup to %s: %w", dir, err)
	}
	defer held.Close()
	f, err := OpenFolder(dir)
	if err == nil {
		err = f.removeLeft()
	}
	if err != nil {
		return nil, fmt.Errorf("backup to %s: %w", dir, err)
	}
	if len(f.Left) > 0 {
		o.say("removed what an interrupted backup had left: %v", f.Left)
	}
	m, base, err := f.next(c, &o)
	if err != nil {
		return nil, fmt.Errorf("backup to %s: %w", dir, err)
	}
	unfinished := filepath.Join(dir, runName(m.Number)+partSuffix)
	if err := os.Mkdir(unfinished, 0o755); err != nil {
		return nil, fmt.Errorf("backup to %s: %w", dir, err)
	}
	err = fill(ctx, c, m, base, inFolder(unfinished), copiesAtATime, &o)
	if err == nil {
		err = commit(dir, m)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("backup to %s: %w", dir, err), os.RemoveAll(unfinished))
	}
	return &Run{Number: m.Number, Dir: filepath.Join(dir, runName(m.Number)), Manifest: m}, nil
}

// ToStream writes a whole backup to a stream.
func ToStream(ctx context.Context, c *Cluster, w io.Writer, o Options) (*Manifest, error) {
	m := newManifest(c, 1, &o)
	err := fill(ctx, c, m, nil, inStream(w), 1, &o)
	if err == nil {
		_, err = w.Write(manifestBytes(m))
	}
	if err != nil {
		return nil, fmt.Errorf("backup to a stream: %w", err)
	}
	return m, nil
}

func (o *Options) say(format string, args ...any) {
	if o.Say != nil {
		o.Say(fmt.Sprintf(format, args...))
	}
}

func newManifest(c *Cluster, number uint64, o *Options) *Manifest {
	m := &Manifest{Cluster: c.ID(), Number: number, Began: time.Now().UnixMilli(), Version: o.Version, Partitions: make([]Part, c.Partitions())}
	_, _ = rand.Read(m.ID[:]) // never fails
	return m
}

// next begins the manifest of the folder's next run. base is the one that it is built upon; nil: none.
func (f *Folder) next(c *Cluster, o *Options) (m *Manifest, base *Run, err error) {
	m = newManifest(c, 1, o)
	if len(f.Runs) == 0 {
		return m, nil, nil
	}
	last := f.Runs[len(f.Runs)-1]
	m.Number = last.Number + 1
	for _, r := range f.Runs {
		if r.Manifest != nil && r.Manifest.Cluster != m.Cluster {
			return nil, nil, fmt.Errorf("%w, %x: this one is %x. Choose another folder", ErrOtherCluster, r.Manifest.Cluster, m.Cluster)
		}
	}
	if o.Whole {
		return m, nil, nil
	}
	chain, err := f.chain(last.Number)
	if err != nil {
		o.say("this run is whole: the one before can't be built upon: %v", err)
		return m, nil, nil
	}
	m.Base = chain[0].Manifest.ID
	return m, chain[0], nil
}

// filler makes a run.
type filler struct {
	c     *Cluster
	m     *Manifest
	base  *Run // nil: none
	o     *Options
	pace  *pacer
	began time.Time

	next    atomic.Int32
	bytes   atomic.Int64
	records atomic.Uint64
	anew    atomic.Int32 // partitions that are taken whole though there is a base

	mu   sync.Mutex // guards done, Missing, NotNamed and Tree of m, told
	done int
	told time.Time
	lost int // bytes of names in Missing
}

// fill copies all partitions, and fills in the manifest.
func fill(ctx context.Context, c *Cluster, m *Manifest, base *Run, create func(uint32) (io.WriteCloser, error), workers int, o *Options) error {
	w := &runWriter{cluster: m.Cluster, run: m.ID, create: create, full: segmentBytes}
	m.makePaths()
	f := &filler{c: c, m: m, base: base, o: o, pace: newPacer(o.Rate), began: time.Now()}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			if err := f.work(ctx, w); err != nil {
				cancel(err)
			}
		})
	}
	working.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.segments, m.Ended = w.segments, time.Now().UnixMilli()
	if n := f.anew.Load(); n > 0 {
		o.say("%d of %d partitions were taken whole: the servers don't remember what changed there since the last run", n, sectionsWatched*len(m.Partitions))
	}
	return nil
}

// work copies partitions until there are no more.
func (f *filler) work(ctx context.Context, w *runWriter) (err error) {
	into := &segmentWriter{w: w}
	defer into.abandon()
	pace := func(ctx context.Context, n int) error {
		f.bytes.Add(int64(n))
		f.tell(0)
		return f.pace.wait(ctx, n)
	}
	keys := &collector{from: f.c, into: into, pages: pageBytes, lack: f.lackKey, pace: pace}
	nodes := &collector{from: nodeSource{f.c}, into: into, pages: pageBytes, lack: f.lackPath, pace: pace, nodes: &nodeCopier{open: f.c.openFile}}
	for next := f.next.Add(1) - 1; int(next) < len(f.m.Partitions); next = f.next.Add(1) - 1 {
		p := ring.PartitionID(next)
		if err := f.copy(ctx, keys, p); err != nil {
			return err
		}
		nodes.nodes.base = f.streamsOf(p)
		if err := f.copy(ctx, nodes, p); err != nil {
			return err
		}
		if err := f.copyStreams(ctx, nodes, p); err != nil {
			return err
		}
		f.tell(1)
	}
	return into.finish()
}

// copy copies the keys or nodes of a partition.
func (f *filler) copy(ctx context.Context, c *collector, p ring.PartitionID) error {
	var base *Version
	if f.base != nil {
		if part := f.base.Manifest.part(c.section(), p); !part.Lacking && part.At != (Version{}) {
			base = &part.At
		}
	}
	if c.nodes != nil && c.nodes.base == nil {
		base = nil
	}
	part, err := c.copyPartition(ctx, p, base)
	if err != nil {
		return err
	}
	if base != nil && part.Whole {
		f.anew.Add(1)
	}
	*f.m.part(c.section(), p) = part
	f.records.Add(part.Records)
	return nil
}

func (f *filler) lackKey(p ring.PartitionID, name []byte) { f.lack(p, string(name), false) }

func (f *filler) lackPath(p ring.PartitionID, name []byte) { f.lack(p, pathOf(name), true) }

// lack notes what could not be read.
func (f *filler) lack(p ring.PartitionID, name string, path bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.m.Missing) >= missingMax || f.lost+len(name) > missingBytes {
		f.m.NotNamed++
		return
	}
	f.lost += len(name)
	f.m.Missing = append(f.m.Missing, MissingKey{p, name, path})
}

// tell tells how far it is, now and then, and in the end.
func (f *filler) tell(done int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done += done
	if f.o.Told == nil || f.done < len(f.m.Partitions) && time.Since(f.told) < toldEvery {
		return
	}
	f.told = time.Now()
	f.o.Told(Progress{f.done, len(f.m.Partitions), f.records.Load(), f.bytes.Load(), time.Since(f.began)})
}
