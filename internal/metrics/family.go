package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"viewring/internal/tally"
)

// prefix begins the names of all families.
const prefix = "viewring_"

// Family is a metric by its name: what it is, and which labels its series have.
type Family struct {
	desc *prometheus.Desc
	of   prometheus.ValueType
}

func newFamily(name, help string, of prometheus.ValueType, labels []string) *Family {
	return &Family{prometheus.NewDesc(prefix+name, help, labels, nil), of}
}

// Gauge declares what goes up and down.
func Gauge(name, help string, labels ...string) *Family {
	return newFamily(name, help, prometheus.GaugeValue, labels)
}

// Counter declares what only grows, until the process starts anew. Its name ends in _total.
func Counter(name, help string, labels ...string) *Family {
	return newFamily(name, help, prometheus.CounterValue, labels)
}

// Histogram declares a distribution. The name of one of times ends in _seconds.
func Histogram(name, help string, labels ...string) *Family {
	return newFamily(name, help, prometheus.UntypedValue, labels)
}

// Sink takes what is told at a scrape. It is for the goroutine that it was given to.
type Sink struct{ to chan<- prometheus.Metric }

// Put tells a value.
func (s *Sink) Put(f *Family, value float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(f.desc, f.of, value, labels...)
}

// PutBool tells 1 or 0.
func (s *Sink) PutBool(f *Family, value bool, labels ...string) {
	n := 0.0
	if value {
		n = 1
	}
	s.Put(f, n, labels...)
}

// The buckets that are told of times: from 16 µs to 17 s, each with twice as much. Below,
// nothing is of interest.
const firstTime, lastTime = 4, 24

// PutTimes tells times, which are seconds then.
func (s *Sink) PutTimes(f *Family, c *tally.Counts, labels ...string) {
	s.put(f, c, firstTime, lastTime, 1e-6, 1e-9, labels)
}

// The buckets that are told of sizes: from 1 to 65,536, each with twice as much.
const firstSize, lastSize = 0, 16

// PutSizes tells sizes.
func (s *Sink) PutSizes(f *Family, c *tally.Counts, labels ...string) {
	s.put(f, c, firstSize, lastSize, 1, 1, labels)
}

func (s *Sink) put(f *Family, c *tally.Counts, first, last int, unit, sumUnit float64, labels []string) {
	buckets, sum := make(map[float64]uint64), uint64(0)
	for i, n := range c.Buckets {
		if sum += n; first <= i && i <= last {
			buckets[float64(tally.Bound(i))*unit] = sum
		}
	}
	s.to <- prometheus.MustNewConstHistogram(f.desc, sum, float64(c.Sum)*sumUnit, buckets, labels...)
}

// Commands are the families of commands by their names: how many came to what, and how long
// they took.
type Commands struct{ count, times *Family }

// NewCommands declares them, for a kind of process that calls what clients ask for so, such as commands.
// label and outcome are their labels, times is what the times are.
func NewCommands(process, what, label, outcome, times string) *Commands {
	return &Commands{
		count: Counter(process+"_"+what+"_total", strings.ToUpper(what[:1])+what[1:]+" of clients that were answered.", label, outcome),
		times: Histogram(process+"_"+strings.TrimSuffix(what, "s")+"_duration_seconds", times, label),
	}
}

// PutCommand tells what was counted of one of them.
func (s *Sink) PutCommand(f *Commands, name string, c *tally.OpCounts, outcome func(i int) string) {
	for i, n := range c.Outcomes {
		if n > 0 {
			s.Put(f.count, float64(n), name, outcome(i))
		}
	}
	s.PutTimes(f.times, &c.Times, name)
}
