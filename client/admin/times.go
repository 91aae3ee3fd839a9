package admin

import (
	"context"
	"math/bits"

	"viewring/internal/wire"
)

// timesBuckets is how many buckets Times have.
const timesBuckets = 40

// Times count how long requests took, by powers of two: bucket k has those that took at most 2^k
// microseconds, and more than the bucket before.
type Times [timesBuckets]uint64

// Add adds the counts of other.
func (t *Times) Add(other *Times) {
	for k, n := range other {
		t[k] += n
	}
}

// Since returns what was counted after before. A server counts from its start on: of an earlier start, before
// leaves nothing.
func (t *Times) Since(before *Times) (since Times) {
	for k, n := range t {
		since[k] = n - min(n, before[k])
	}
	return since
}

// Percentile returns within how many microseconds so many percent of the requests were done: the bound of
// the bucket that has it. 0: nothing was counted.
func (t *Times) Percentile(percent float64) uint64 {
	total := uint64(0)
	for _, n := range t {
		total += n
	}
	sum := uint64(0)
	for k, n := range t {
		if sum += n; n > 0 && float64(sum) >= percent/100*float64(total) {
			return 1 << k
		}
	}
	return 0
}

// Times asks the server how long its commands took since its start, by their names.
func (s *Server) Times(ctx context.Context) (map[string]Times, error) {
	v, err := s.do(ctx, "LATENCY", "HISTOGRAM")
	if err != nil {
		return nil, err
	}
	all := make(map[string]Times)
	for i := 0; i+1 < len(v.Array); i += 2 {
		name, fields := string(v.Array[i].Bytes), v.Array[i+1].Array
		var times Times
		for j := 0; j+1 < len(fields); j += 2 {
			if string(fields[j].Bytes) == "histogram_usec" {
				times = timesOf(fields[j+1].Array)
			}
		}
		all[name] = times
	}
	return all, nil
}

// timesOf takes bounds, each with how many requests there were up to it.
func timesOf(pairs []wire.Value) (t Times) {
	before := int64(0)
	for i := 0; i+1 < len(pairs); i += 2 {
		bound, sum := pairs[i].Int, pairs[i+1].Int
		if bound < 1 || sum < before {
			continue // no server says so
		}
		t[min(bits.Len64(uint64(bound-1)), timesBuckets-1)] += uint64(sum - before)
		before = sum
	}
	return t
}
