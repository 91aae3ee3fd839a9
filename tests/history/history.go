package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Op is one operation of a client.
type Op struct {
	Client       int
	In           Input
	Out          Output
	Call, Return time.Duration // since the history began; Return is Never when the outcome is not known
}

// Never is when an operation returned that nobody saw return.
const Never = time.Duration(1 << 62)

// History is what all clients saw. Any number of goroutines may add to it.
type History struct {
	start time.Time
	mu    struct {
		sync.Mutex
		ops     []Op
		acked   int           // writes acknowledged
		refused int           // operations told to have had no effect
		end     time.Duration // when the load ended, 0 before
		counted chan struct{} // closed and replaced with each answered operation
	}
}

// New begins a history.
func New() *History {
	h := &History{start: time.Now()}
	h.mu.counted = make(chan struct{})
	return h
}

// Now is the time since the history began.
func (h *History) Now() time.Duration { return time.Since(h.start) }

func (h *History) add(o Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.ops = append(h.mu.ops, o)
	if o.Out.Known && o.In.Kind != Get {
		h.mu.acked++
	}
	close(h.mu.counted)
	h.mu.counted = make(chan struct{})
}

// ended notes that clients stop asking all the time.
func (h *History) ended() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.end = h.Now()
}

func (h *History) refuse() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.refused++
}

// Count returns how many operations were recorded, and a channel that is closed
// when there is one more.
func (h *History) Count() (int, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.mu.ops), h.mu.counted
}

// Verdict is what a history came to.
type Verdict struct {
	Operations int // answered or not
	Unknown    int // of them, without a known outcome
	Refused    int // tries that were told to have had no effect, beside Operations
	Acked      int // writes acknowledged
	Lost       int // of them, not there at the end
	Hard       int // keys whose history was too hard to check
	WriteGap   Gap // the longest time in which a key could not be written
	ReadGap    Gap // or read
	Problems   []string
}

// Gap is a time without a success on a key.
type Gap struct {
	Key      string
	From, To time.Duration
}

// Long is how long it lasted.
func (g Gap) Long() time.Duration { return g.To - g.From }

func (g Gap) String() string {
	return fmt.Sprintf("%.2f s (%s, at %.2f s)", g.Long().Seconds(), g.Key, g.From.Seconds())
}

// Judge looks at everything recorded; final are the values that were read back
// at the end, absent keys missing. What it costs grows with the operations whose
// outcome is not known.
func (h *History) Judge(final map[string]string) Verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := Verdict{Operations: len(h.mu.ops), Refused: h.mu.refused, Acked: h.mu.acked}
	byKey := make(map[string][]Op)
	for _, o := range h.mu.ops {
		byKey[o.In.Key] = append(byKey[o.In.Key], o)
		if o.Return == Never {
			v.Unknown++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		ops := byKey[key]
		v.judgeFinal(key, ops, final)
		switch linearizable(ops, final[key]) {
		case porcupine.Illegal:
			v.Problems = append(v.Problems, fmt.Sprintf("the history of %s is not linearizable:\n%s", key, explain(ops)))
		case porcupine.Unknown:
			v.Hard++
		}
		if isHot(key) {
			writes, reads := gaps(key, ops, h.mu.end)
			v.WriteGap, v.ReadGap = longer(v.WriteGap, writes), longer(v.ReadGap, reads)
		}
	}
	return v
}

func longer(a, b Gap) Gap {
	if b.Long() > a.Long() {
		return b
	}
	return a
}

// gaps are the longest times without a write and without a read of a key that
// clients never stopped asking for.
func gaps(key string, ops []Op, end time.Duration) (writes, reads Gap) {
	var wrote, read []time.Duration
	for _, o := range ops {
		switch {
		case !o.Out.Known || o.Client == reader:
		case o.In.Kind == Get:
			read = append(read, o.Return)
		default:
			wrote = append(wrote, o.Return)
		}
	}
	return gap(key, wrote, end), gap(key, read, end)
}

func gap(key string, at []time.Duration, end time.Duration) Gap {
	var longest Gap
	last := time.Duration(0)
	slices.Sort(at)
	if len(at) > 0 {
		last = at[0] // what comes before is the clients' start
	}
	for _, t := range append(at, end) {
		longest = longer(longest, Gap{Key: key, From: last, To: t})
		last = t
	}
	return longest
}

// judgeFinal compares what was acknowledged with what is there at the end, for
// the keys of which the acknowledgements alone tell: porcupine sees the others,
// and these a second time.
func (v *Verdict) judgeFinal(key string, ops []Op, final map[string]string) {
	value, found := final[key]
	switch {
	case strings.HasPrefix(key, logPrefix):
		v.judgeLog(key, ops, value)
	case strings.HasPrefix(key, countPrefix):
		v.judgeCount(key, ops, value)
	case strings.HasPrefix(key, oncePrefix):
		for _, o := range ops {
			if o.In.Kind == Set && o.Out.Known && (!found || value != o.In.Text) {
				v.lost(1, "%s was acknowledged with %.40q, it is %.40q (there: %v)", key, o.In.Text, value, found)
			}
		}
	}
}

// judgeLog wants each acknowledged append once, and no other more than once.
func (v *Verdict) judgeLog(key string, ops []Op, value string) {
	there := make(map[string]int)
	for text := range strings.SplitAfterSeq(value, ";") {
		there[text]++
	}
	for _, o := range ops {
		if o.In.Kind != Append {
			continue
		}
		switch n := there[o.In.Text]; {
		case n > 1:
			v.Problems = append(v.Problems, fmt.Sprintf("%s: %q was appended %d times", key, o.In.Text, n))
		case n == 0 && o.Out.Known:
			v.lost(1, "%s: the acknowledged append of %q is gone", key, o.In.Text)
		}
	}
}

// judgeCount wants the sum to be that of the acknowledged increments, and of
// some whose outcome is not known.
func (v *Verdict) judgeCount(key string, ops []Op, value string) {
	acked, unknown := int64(0), int64(0)
	for _, o := range ops {
		switch {
		case o.In.Kind != Incr:
		case o.Out.Known:
			acked++
		default:
			unknown++
		}
	}
	sum, _ := strconv.ParseInt(value, 10, 64) // absent, or not a number: nothing is there
	if sum < acked {
		v.lost(int(acked-sum), "%s: %d increments were acknowledged, the sum is %q", key, acked, value)
	}
	if sum > acked+unknown {
		v.Problems = append(v.Problems, fmt.Sprintf("%s: %d increments were acknowledged and %d may be done, the sum is %d", key, acked, unknown, sum))
	}
}

func (v *Verdict) lost(n int, format string, args ...any) {
	v.Lost += n
	v.Problems = append(v.Problems, "lost: "+fmt.Sprintf(format, args...))
}

// explain shows the shortest beginning of a key's history that no order
// explains, its last operations only.
func explain(ops []Op) string {
	slices.SortFunc(ops, func(a, b Op) int { return cmp.Compare(a.Return, b.Return) })
	lo, hi := 1, len(ops) // the first lo to return may be fine, the first hi are not
	for lo < hi {
		mid := (lo + hi) / 2
		if linearizable(until(ops, ops[mid-1].Return), "") == porcupine.Illegal {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	const shown = 40
	var b strings.Builder
	for _, o := range ops[max(0, hi-shown):hi] {
		fmt.Fprintf(&b, "  %10.4f to %10.4f client %-3d %s\n", o.Call.Seconds(), o.Return.Seconds(), o.Client, describe(o.In, o.Out))
	}
	for _, o := range until(ops, ops[hi-1].Return) {
		if o.Return == Never && o.In.Kind != Get {
			fmt.Fprintf(&b, "  %10.4f to          ? client %-3d %s\n", o.Call.Seconds(), o.Client, describe(o.In, o.Out))
		}
	}
	return b.String()
}

// until is what was known at a time: what had been called, and what of it had
// returned.
func until(ops []Op, at time.Duration) []Op {
	var known []Op
	for _, o := range ops {
		if o.Call > at {
			continue
		}
		if o.Return > at {
			o.Return, o.Out = Never, Output{}
		}
		known = append(known, o)
	}
	return known
}
