package record

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"viewring/internal/route"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// Entry is a record, or a run of records that are lost.
type Entry struct {
	Place    int64     // of the record, or of the first one that is lost
	Time     time.Time // of its append, by a server's clock
	Data     []byte    // the record; the caller's
	Producer [16]byte  // the id of who has appended it
	Sequence int64     // that its producer gave it

	Lost    int64 // so many records from Place on can't be read, or never were there; 0: this is a record
	Retired bool  // they are not kept any more

	turn    int  // of a group's member: in which of its turns it was told
	between bool // and not of that turn's chunk
}

type fromKind uint8

const (
	fromStart fromKind = iota
	fromEnd
	fromPlace
	fromTime
	fromCommitted // as fromPlace, and what is missing from there on is told
)

// From says where a reader begins. The zero From is Start.
type From struct {
	kind  fromKind
	place int64
	at    time.Time
}

// Where readers begin.
var (
	Start = From{kind: fromStart} // with the first record that is kept
	End   = From{kind: fromEnd}   // behind the last that there is
)

// AtPlace begins with the record of a place, or what comes next.
func AtPlace(place int64) From { return From{kind: fromPlace, place: place} }

// AtTime begins with the first record that is not older.
func AtTime(t time.Time) From { return From{kind: fromTime, at: t} }

// lookEveryWaiting is how long a reader that waits to be told does not look by itself: it would not be told that
// the file is removed, or that a chunk which never was opened is passed over.
const lookEveryWaiting = 3 * time.Second

// Read yields the records from somewhere on, in order, and what is lost between them. It ends behind the last record that
// was there when it began; or, if it follows, with ctx, and waits at a server for what is appended. It ends with an error
// where nothing more can be read: ErrRemoved once the file was removed.
func (f *File) Read(ctx context.Context, from From, follow bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		o := f.s.op(ctx, "read", f.path)
		t := &tail{f: f, o: o, follow: follow}
		defer t.close()
		err := t.begin(from)
		for err == nil {
			var e tree.RecordEvent
			var over bool
			if e, over, err = t.next(); err != nil || over {
				break
			}
			if !t.tell(&e, yield) {
				return
			}
		}
		if err != nil && !(follow && ctx.Err() != nil) {
			yield(Entry{}, o.failed(err))
		}
	}
}

// tail is a reader at work.
type tail struct {
	f      *File
	o      *op
	follow bool
	from   int64   // records before are not told
	until  int64   // nor from here on, if it does not follow
	chunk  *uint32 // nil: of all; else only what this one has
	passed bool    // nothing more comes of that chunk
	r      *tree.RecordReader
	ahead  *ahead

	watch   *route.Watch
	watched wire.Chunk
}

func (t *tail) begin(from From) (err error) {
	c := &calls{op: t.o}
	t.ahead = &ahead{c: c}
	r := &tree.Records{Calls: c, Of: t.f.of}
	if !t.follow {
		end, err := r.ReaderAtEnd()
		if err != nil {
			return err
		}
		t.until = end.Due()
	}
	switch from.kind {
	case fromStart:
		t.r, err = r.ReaderAtStart()
	case fromEnd:
		t.r, err = r.ReaderAtEnd()
	case fromPlace:
		t.from = from.place
		t.r, err = r.ReaderAtPlace(from.place)
	case fromCommitted:
		t.from = from.place
		t.r, err = r.ReaderFrom(from.place)
	case fromTime:
		t.r, err = r.ReaderAtTime(from.at.UnixMilli())
	}
	c.ahead = t.ahead // what was read to find the place is not what comes next
	return err
}

// next waits for what comes next; over is true where nothing does.
func (t *tail) next() (e tree.RecordEvent, over bool, err error) {
	for {
		if !t.follow && t.r.Due() >= t.until {
			return e, true, nil
		}
		t.ahead.want(t.r.At(), t.r.Batch(), t.r.Ahead())
		e, err = t.r.Next()
		if t.chunk != nil && t.r.At().Index != *t.chunk {
			t.passed = err == nil
			return e, true, err
		}
		switch {
		case err != nil || !e.Nothing():
			return e, false, err
		case !t.follow:
			return e, true, nil
		case t.watch == nil || t.watched != t.r.At(): // and read again: what was done before is not told
			err = t.follows(t.r.At())
		default:
			err = t.wait()
		}
		if err != nil {
			return e, false, err
		}
	}
}

// follows begins to be told of a chunk's head.
func (t *tail) follows(chunk wire.Chunk) (err error) {
	t.close()
	t.watched = chunk
	t.watch, err = t.f.s.router.Watch(t.o.ctx, t.o.name, route.WatchSpec{Space: wire.FileSpace, Name: chunk.Name(), Slot: chunk.Slot(), Values: true})
	return err
}

func (t *tail) close() {
	if t.watch != nil {
		t.watch.Close()
		t.watch = nil
	}
}

// wait returns once something was told of the head, or it is time to look.
func (t *tail) wait() error {
	ctx, cancel := context.WithTimeout(t.o.ctx, lookEveryWaiting)
	defer cancel()
	for {
		told, err := t.watch.Next(ctx)
		switch {
		case err != nil && t.o.ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			_, err := t.f.records(t.o).Look()
			return err
		case err != nil:
			return err
		case told.Kind == wire.TellAnew:
			return nil
		}
		for i := range told.Changes {
			if c := &told.Changes[i]; c.HasValue {
				if h, err := wire.DecodeRecordHead(c.Value); err == nil {
					t.r.Head(&h)
				}
			}
			return nil
		}
	}
}

// tell yields what an event has.
func (t *tail) tell(e *tree.RecordEvent, yield func(Entry, error) bool) bool {
	from, to := max(e.From, t.from), e.To
	if !t.follow {
		to = min(to, t.until)
	}
	if from >= to {
		return true
	}
	if e.Lost {
		return yield(Entry{Place: from, Lost: to - from, Retired: e.Retired}, nil)
	}
	b := e.Batch
	for i, data := range b.All() {
		place := b.First + i
		if place < from || place >= to {
			continue
		}
		if !yield(Entry{Place: place, Time: time.UnixMilli(b.Time), Data: data, Producer: b.Producer, Sequence: b.Sequence + i}, nil) {
			return false
		}
	}
	return true
}

// Verified is what Verify has read.
type Verified struct {
	Records int64
	Bytes   int64 // of the records
	Lost    int64 // places that have none: they can't be read, or never were there
	Losses  []Entry
}

// lossesMax is how many losses Verify tells one by one.
const lossesMax = 100

// Verify reads all records that are kept, and verifies each against the checksum that it came with. What can be repaired
// is. progress, if not nil, is told now and then how far it is.
func (f *File) Verify(ctx context.Context, progress func(Verified)) (v Verified, err error) {
	for e, err := range f.Read(ctx, Start, false) {
		if err != nil {
			return v, err
		}
		if e.Lost > 0 {
			if v.Lost += e.Lost; len(v.Losses) < lossesMax {
				v.Losses = append(v.Losses, e)
			}
			continue
		}
		v.Records++
		v.Bytes += int64(len(e.Data))
		if progress != nil && v.Records%1000 == 0 {
			progress(v)
		}
	}
	return v, nil
}

// String tells of the entry as a command line does.
func (e Entry) String() string {
	switch {
	case e.Lost == 0:
		return string(e.Data)
	case e.Retired:
		return fmt.Sprintf("records %d to %d are not kept any more", e.Place, e.Place+e.Lost-1)
	}
	return fmt.Sprintf("records %d to %d are lost", e.Place, e.Place+e.Lost-1)
}
