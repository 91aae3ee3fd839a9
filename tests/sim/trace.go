package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"viewring/ring"
	"viewring/server/replica"
)

// global tags what a trace says of no partition in particular.
const global = -1

// line is one line of a readable trace.
type line struct {
	partition int
	text      string
}

// The hash of a run covers the time and order of every event and the content of
// every message, batch, answer, command and view. Equal hashes are equal runs.

func (w *world) mix(x uint64) {
	h := (w.trace ^ x) * 0x9e3779b97f4a7c15
	w.trace = h ^ h>>29
}

func (w *world) mixBytes(b []byte)  { w.mix(xxhash.Sum64(b)) }
func (w *world) mixString(s string) { w.mix(xxhash.Sum64String(s)) }

// note adds what happened to the hash, and to the readable trace when that is
// wanted. p is the partition that it concerns, or global.
func (w *world) note(p int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.mixString(text)
	w.say(p, text)
}

// say adds to the readable trace alone: for what is in the hash already.
func (w *world) say(p int, text string) {
	if w.opt.Trace {
		w.log = append(w.log, line{p, fmt.Sprintf("%10.4fs %s", w.now.Seconds(), text)})
	}
}

// mixFrame covers a frame that is handed over.
func (w *world) mixFrame(to ring.ServerID, f *frame) {
	w.mix(uint64(f.from)<<32 | uint64(to))
	w.mix(f.incarnation)
	w.mix(f.epoch<<32 | f.done)
	w.mixBytes(f.msg)
}

// requestName is a request id as the clients of a world choose it.
type requestName struct {
	client byte
	number uint64
}

// mixBatch covers a batch, and notes which requests it has the records of.
func (w *world) mixBatch(s *server, b *replica.Batch) {
	w.mix(uint64(s.name)<<56 | b.Number)
	for i := range b.Ops {
		o := &b.Ops[i]
		w.mix(uint64(o.Kind)<<32 | uint64(o.Partition))
		w.mix(o.Seq)
		w.mixString(string(o.Key))
		w.mixBytes(o.Value)
		if o.Kind == replica.PutItem && o.Key.Space() == replica.SpaceSystem {
			if name := o.Key.Name(); len(name) == 24 {
				w.sequenced[requestName{name[0], binary.BigEndian.Uint64([]byte(name[16:]))}] = true
			}
		}
	}
}

func (w *world) mixAnswer(a *replica.Answer) {
	w.mix(a.Token)
	w.mix(uint64(a.Status))
	w.mix(a.Version.Term)
	w.mix(a.Version.Seq)
	w.mix(uint64(a.Number))
	w.mixBytes(a.Value)
	if a.Confirmed {
		w.mix(1)
	}
}
