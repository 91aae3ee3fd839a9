package sim

import (
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"viewring/server/replica"
)

// pairKeys share a slot: batches check and write both.
var pairKeys = [2]string{"x{p}", "y{p}"}

// keyCheck and keyWrite are what a batch is made of.
type keyCheck struct {
	key     string
	version replica.Version
}

type keyWrite struct {
	key, value string
	remove     bool
}

func inPair(key string) bool { return key == pairKeys[0] || key == pairKeys[1] }

// historyOf names the history that a key belongs to: keys of a pair have one.
func historyOf(key string) string {
	if inPair(key) {
		return pairKeys[0]
	}
	return key
}

// drawBatch makes a batch of what a client may have seen of the keys.
func (c *client) drawBatch(in *input) {
	in.op, in.value = replica.OpBatch, ""
	for _, key := range pairKeys {
		if c.w.chance(0.4) {
			in.checks = append(in.checks, keyCheck{key, c.seen[key]})
		}
		if c.w.chance(0.75) {
			in.writes = append(in.writes, keyWrite{key: key, value: c.unique(), remove: c.w.chance(0.15)})
		}
	}
	if len(in.writes) > 0 && c.w.valueMax < 100 && c.w.chance(0.05) {
		in.writes[0].value = strings.Repeat("z", c.w.valueMax)
	}
	keys := slices.Clone(in.checks)
	for _, wr := range in.writes {
		keys = append(keys, keyCheck{key: wr.key})
	}
	if len(keys) == 0 {
		in.checks = append(in.checks, keyCheck{in.key, c.seen[in.key]})
		return
	}
	in.key = keys[c.w.rng.IntN(len(keys))].key
}

// batch adds the checks and writes of a batch to its request.
func (in *input) batch(r *replica.Request) {
	for _, ch := range in.checks {
		r.Checks = append(r.Checks, replica.KeyCheck{Key: userKey(ch.key), Version: ch.version})
	}
	for _, wr := range in.writes {
		kw := replica.KeyWrite{Key: userKey(wr.key), Delete: wr.remove}
		if !wr.remove {
			kw.Value = []byte(wr.value)
		}
		r.Writes = append(r.Writes, kw)
	}
}

// takesSpace reports whether an operation may be refused where there is no space.
func (in *input) takesSpace() bool {
	if in.step != nil {
		return in.op != 0 && !frees(in.step)
	}
	if in.op == replica.OpBatch {
		return slices.ContainsFunc(in.writes, func(wr keyWrite) bool { return !wr.remove })
	}
	return in.op != 0 && in.op != replica.OpDelete
}

// shown notes the versions that a client was shown.
func (c *client) shown(a *replica.Answer) {
	in := &c.op.in
	switch {
	case in.op == replica.OpBatch && a.Status == replica.StatusOK:
		for _, wr := range in.writes {
			c.seen[wr.key] = a.Version
			if wr.remove {
				delete(c.seen, wr.key)
			}
		}
	case in.op == replica.OpBatch:
		if len(in.checks) == 1 {
			c.seen[in.checks[0].key] = a.Version
		}
	case a.Status == replica.StatusNotFound || in.op == replica.OpDelete && a.Status == replica.StatusOK:
		delete(c.seen, in.key)
	case a.Status == replica.StatusOK || a.Status == replica.StatusCondFailed:
		c.seen[in.key] = a.Version
	}
}

// pairState is what the history tells of a pair of keys.
type pairState [2]keyState

func pairIndex(key string) int { return slices.Index(pairKeys[:], key) }

// stepPair is step for an operation on one or both keys of a pair.
func stepPair(t times, s pairState, r *record, valueMax int) (next []pairState) {
	in, out := &r.in, &r.out
	if in.op != replica.OpBatch {
		i := pairIndex(in.key)
		for _, n := range step(t, s[i], r, valueMax) {
			s[i] = n
			next = append(next, s)
		}
		return next
	}
	bytes := 0
	for _, wr := range in.writes {
		if !wr.remove {
			bytes += len(wr.value)
		}
	}
	switch {
	case out.status == replica.StatusFenced:
		return []pairState{s}
	case bytes > valueMax:
		if out.status == 0 || out.status == replica.StatusTooLarge {
			next = append(next, s)
		}
		return next
	case out.status == replica.StatusCondFailed:
		return s.failing(in.checks, out.ver)
	case out.status != 0 && out.status != replica.StatusOK:
		return nil
	}
	if out.status == 0 {
		next = append(next, s) // nobody knows
	}
	if s, ok := s.holding(in.checks); ok {
		if s, ok := s.written(in.writes, out); ok {
			next = append(next, s)
		}
	}
	return next
}

// holding is s where all checks hold.
func (s pairState) holding(checks []keyCheck) (pairState, bool) {
	for _, ch := range checks {
		k := &s[pairIndex(ch.key)]
		switch {
		case !k.found || k.sure:
			if k.found && k.ver != ch.version || !k.found && !ch.version.IsZero() {
				return s, false
			}
		case ch.version.Compare(k.ver) <= 0:
			return s, false
		default:
			k.ver, k.sure = ch.version, true
		}
	}
	return s, true
}

// failing is s where one of the checks does not hold, those before it do, and
// somebody was shown the version of its key.
func (s pairState) failing(checks []keyCheck, shown replica.Version) (next []pairState) {
	for n, ch := range checks {
		s, ok := s.holding(checks[:n])
		if !ok || shown == ch.version {
			continue
		}
		i := pairIndex(ch.key)
		for _, k := range s[i].seen(s[i].found, shown) {
			s[i] = k
			next = append(next, s)
		}
	}
	return next
}

// written is s after all writes; false where the version that was answered is too old.
func (s pairState) written(writes []keyWrite, out *output) (pairState, bool) {
	for _, wr := range writes {
		k := &s[pairIndex(wr.key)]
		switch {
		case out.status != 0 && k.found && out.ver.Compare(k.ver) <= 0:
			return s, false
		case wr.remove:
			*k = keyState{}
		case out.status == 0:
			*k = keyState{found: true, value: wr.value, ver: k.ver}
		default:
			*k = keyState{found: true, value: wr.value, ver: out.ver, sure: true}
		}
	}
	return s, true
}

// pairModel is the checker's idea of a pair of keys.
func (w *world) pairModel() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{pairState{}} },
		Step: func(state, in, _ any) (next []any) {
			for _, s := range stepPair(w, state.(pairState), in.(*record), w.valueMax) {
				next = append(next, s)
			}
			return next
		},
		Hash:              func(state any) uint64 { s := state.(pairState); return 31*hashState(s[0]) + hashState(s[1]) },
		DescribeOperation: describe,
	}
	return m.ToModel()
}
