package replica

import (
	"encoding/binary"
	"fmt"
	"slices"

	"viewring/internal/codec"
)

// metaFormat is the first byte of every stored meta.
const metaFormat = 2

// metaFormatFirst had no resets; it is still read.
const metaFormatFirst = 1

// metaDamageShift is where in a meta's second byte the damage stands, above the state.
const metaDamageShift = 4

// copyState says what a server has of a partition.
type copyState byte

const (
	absent   copyState = iota // nothing; the stored meta does not exist
	learning                  // an unfinished full copy; worth nothing after a restart
	whole                     // the log up to last, nothing missing
)

var copyNext = []phases{
	absent:   to(learning, whole),
	learning: to(absent, whole),
	whole:    to(absent, learning),
}

func (s copyState) String() string { return [...]string{"absent", "learning", "whole"}[s] }

// logState is a position in a partition's log with what follows from it.
type logState struct {
	last    Version
	digest  uint64 // sum of itemDigest over all items
	history []TermStart
	keys    int64 // user keys
	bytes   int64 // of user values
}

// advance moves l over e. Writes must have been accounted for.
func (l *logState) advance(v Version) {
	if v.Term != l.last.Term {
		l.history = append(slices.Clip(l.history), TermStart{Term: v.Term, First: v.Seq})
		if len(l.history) > historyMax {
			l.history = slices.Clone(l.history[len(l.history)-historyMax:])
		}
	}
	l.last = v
}

// account adds what replacing an item does to digest and counts.
func (l *logState) account(key Key, before, after Version, bytesBefore, bytesAfter int) {
	l.digest += itemDigest(key, after) - itemDigest(key, before)
	if key.Space() != SpaceUser {
		return
	}
	if before.IsZero() && !after.IsZero() {
		l.keys++
	} else if !before.IsZero() && after.IsZero() {
		l.keys--
	}
	l.bytes += int64(bytesAfter - bytesBefore)
}

// meta is what is stored beside a partition's items.
type meta struct {
	state     copyState
	damage    damage   // of a whole copy, or of one that cannot be loaded
	log       logState // what has been applied, durable or in a batch under way
	commit    uint64   // commitKnown. Invariant: ≤ log.last.Seq (I5)
	floor     uint64   // Invariant: the index has the row of each seq in (floor, log.last.Seq]
	resetTerm uint64   // the partition's life that the copy is of. Invariant: ≤ the view's
}

// What a meta takes, usually, and each term of its history besides.
const (
	metaBytes     = 48
	metaTermBytes = 8
)

func appendMeta(b []byte, m meta) []byte {
	b = append(b, metaFormat, byte(m.state)|byte(m.damage)<<metaDamageShift)
	b = appendVersion(b, m.log.last)
	b = binary.BigEndian.AppendUint64(b, m.log.digest)
	b = binary.AppendUvarint(b, uint64(m.log.keys))
	b = binary.AppendUvarint(b, uint64(m.log.bytes))
	b = binary.AppendUvarint(b, m.commit)
	b = binary.AppendUvarint(b, m.floor)
	b = binary.AppendUvarint(b, m.resetTerm)
	return appendHistory(b, m.log.history)
}

func decodeMeta(b []byte) (meta, error) {
	r := codec.NewReader(b)
	format := r.Byte()
	if f := format; r.Err() == nil && f != metaFormat && f != metaFormatFirst {
		return meta{}, fmt.Errorf("partition meta format %d, this build reads %d", f, metaFormat)
	}
	state := r.Byte()
	m := meta{state: copyState(state & (1<<metaDamageShift - 1)), damage: damage(state >> metaDamageShift)}
	m.log.last = readVersion(r)
	m.log.digest = r.Uint64()
	m.log.keys = int64(r.Uvarint())
	m.log.bytes = int64(r.Uvarint())
	m.commit = r.Uvarint()
	m.floor = r.Uvarint()
	if format > metaFormatFirst {
		m.resetTerm = r.Uvarint()
	}
	m.log.history = readHistory(r)
	if err := r.Done(); err != nil {
		return meta{}, fmt.Errorf("%w: partition meta: %w", ErrCorrupt, err)
	}
	if m.state > whole || m.damage > unfit {
		return meta{}, fmt.Errorf("%w: partition meta: state %d, damage %d", ErrCorrupt, m.state, m.damage)
	}
	return m, nil
}

// commonPoint returns the greatest seq up to which two logs surely agree, given
// the history and head of each. Histories may have lost their oldest terms, so
// ok is false where nothing can be said.
func commonPoint(a []TermStart, aLast uint64, b []TermStart, bLast uint64) (seq uint64, ok bool) {
	if aLast == 0 || bLast == 0 {
		return 0, len(a) <= historyMax/2 && len(b) <= historyMax/2
	}
	// The last term that both have: whatever its primary wrote there is one
	// sequence, and all before it was agreed when the term began.
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0 && b[j].Term >= a[i].Term; j-- {
			if a[i].Term == b[j].Term {
				return min(termEnd(a, i, aLast), termEnd(b, j, bLast)), true
			}
		}
	}
	return 0, len(a) < historyMax && len(b) < historyMax
}

// termEnd returns the last seq that hs[i]'s term wrote.
func termEnd(hs []TermStart, i int, last uint64) uint64 {
	if i+1 < len(hs) {
		return hs[i+1].First - 1
	}
	return last
}
