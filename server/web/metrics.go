package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"viewring/internal/metrics"
	"viewring/internal/tally"
)

// meters are what is counted for who reads metrics.
type meters struct {
	ops     *tally.Ops // requests, by methodNames and classes
	refused atomic.Uint64
	logins  atomic.Uint64
	came    atomic.Uint64 // requests, for their stripes
}

// methodNames are the methods that are counted apart; 0 is for all others.
var methodNames = append([]string{"other"}, strings.Split(allowed, ", ")...)

// classes are what answers are counted by: the first digit of the status, 0 where there was none.
var classes = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// count counts a request that was answered.
func (f *Front) count(r *http.Request, answer *watched, took time.Duration) {
	method := max(0, slices.Index(methodNames, r.Method))
	class := answer.status / 100
	if class < 0 || class >= len(classes) {
		class = 0
	}
	if answer.status == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
		f.meters.logins.Add(1)
	}
	f.meters.ops.Done(f.meters.came.Add(1), method, class, took)
}

// The families of an HTTP front.
var (
	requestFamilies = metrics.NewCommands("http", "requests", "method", "code", "From the head of a request to the end of its answer.")

	connections = metrics.Gauge("http_connections", "Connections that are open.")
	most        = metrics.Gauge("http_connections_limit", "Connections that clients may open.")
	refused     = metrics.Counter("http_connections_refused_total", "Connections that were turned away because there were too many.")
	logins      = metrics.Counter("http_logins_refused_total", "Requests with a password that was refused.")
)

// Service is the front as its process's port for metrics shows it. It is ready when it has found its cluster.
func (f *Front) Service() metrics.Service {
	return metrics.Service{Name: "http", Collect: f.collect, Ready: f.ready}
}

func (f *Front) ready() error {
	if f.finishing.Load() {
		return errors.New("it lets the requests under way end, and ends")
	}
	if f.cluster.Load() == nil {
		return errors.New("it looks for its cluster, or has stopped")
	}
	return nil
}

// counted is an S3 handler that has figures.
type counted interface{ Collect(to *metrics.Sink) }

func (f *Front) collect(_ context.Context, to *metrics.Sink) {
	for number, name := range methodNames {
		if c := f.meters.ops.Counts(number); c.Count() > 0 {
			to.PutCommand(requestFamilies, name, &c, func(i int) string { return classes[i] })
		}
	}
	to.Put(connections, float64(f.door.inside.Load()))
	to.Put(most, float64(f.opts.Bounds.Connections))
	to.Put(refused, float64(f.meters.refused.Load()))
	to.Put(logins, float64(f.meters.logins.Load()))
	if c := f.cluster.Load(); c != nil {
		if s3, ok := c.s3.(counted); ok {
			s3.Collect(to)
		}
	}
}
