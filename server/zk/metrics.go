package zk

import (
	"context"
	"errors"
	"strings"
	"time"

	"viewring/internal/metrics"
	"viewring/server/zk/jute"
)

// What is counted apart: types of requests and codes of answers, by their numbers for who counts them. 0 is for
// all others.
var (
	opNames   = []string{"other"}
	opNumbers = make(map[jute.Op]int)

	codeNames   = []string{"other"}
	codeNumbers = make(map[jute.Code]int)
)

func init() {
	for _, o := range []struct {
		op   jute.Op
		name string
	}{
		{jute.OpCreate, "create"}, {jute.OpCreate2, "create2"}, {jute.OpCreateContainer, "createContainer"}, {jute.OpCreateTTL, "createTTL"},
		{jute.OpDelete, "delete"}, {jute.OpExists, "exists"}, {jute.OpGetData, "getData"}, {jute.OpSetData, "setData"},
		{jute.OpGetACL, "getACL"}, {jute.OpSetACL, "setACL"}, {jute.OpGetChildren, "getChildren"}, {jute.OpGetChildren2, "getChildren2"},
		{jute.OpSync, "sync"}, {jute.OpMulti, "multi"}, {jute.OpMultiRead, "multiRead"}, {jute.OpCheckWatches, "checkWatches"},
		{jute.OpRemoveWatches, "removeWatches"}, {jute.OpAddWatch, "addWatch"}, {jute.OpSetWatches, "setWatches"}, {jute.OpSetWatches2, "setWatches2"},
		{jute.OpClose, "close"},
	} {
		opNumbers[o.op] = len(opNames)
		opNames = append(opNames, o.name)
	}
	for _, c := range []jute.Code{
		jute.OK, jute.SystemError, jute.RuntimeInconsistency, jute.ConnectionLoss, jute.MarshallingError, jute.Unimplemented, jute.BadArguments, jute.NoNode,
		jute.NoAuth, jute.BadVersion, jute.NoChildrenForEphemerals, jute.NodeExists, jute.NotEmpty, jute.InvalidACL, jute.AuthFailed, jute.NoWatcher,
	} {
		codeNumbers[c] = len(codeNames)
		codeNames = append(codeNames, strings.ReplaceAll(strings.ToLower(c.String()), " ", "_"))
	}
}

// count counts a request that was answered.
func (f *Front) count(c *conn, q *request, code jute.Code) {
	f.ops.Done(c.number, opNumbers[q.Op], codeNumbers[code], time.Since(q.came))
}

// The families of a ZooKeeper front.
var (
	requestFamilies = metrics.NewCommands("zk", "requests", "operation", "outcome", "From the arrival of a request to its answer.")

	connections = metrics.Gauge("zk_connections", "Connections that are open.")
	most        = metrics.Gauge("zk_connections_limit", "Connections that clients may open.")
	refused     = metrics.Counter("zk_connections_refused_total", "Connections that were turned away or cut off, by why: too_many (connections or bytes), not_reading, other_protocol.", "reason")
	logins      = metrics.Counter("zk_logins_refused_total", "Logins that were refused.")
	sessions    = metrics.Gauge("zk_sessions", "Sessions with a connection here.")
	expired     = metrics.Counter("zk_sessions_expired_total", "Sessions that clients came back to and that had ended.")
	watchCount  = metrics.Gauge("zk_watches", "Paths that clients watch.")
	streams     = metrics.Gauge("zk_streams", "Directories that the servers tell this front of.")
	waiting     = metrics.Gauge("zk_requests_waiting", "Requests that wait for their turn or are carried out.")
	heldBytes   = metrics.Gauge("zk_request_bytes", "Bytes of requests and answers that are under way.")
)

// Service is the front as its process's port for metrics shows it. It is ready as soon as it is there: it has
// found its cluster.
func (f *Front) Service() metrics.Service {
	return metrics.Service{Name: "zk", Collect: f.collect, Ready: f.ready}
}

func (f *Front) ready() error {
	if f.finishes() {
		return errors.New("it lets its clients go, and ends")
	}
	return f.ctx.Err()
}

func (f *Front) collect(_ context.Context, to *metrics.Sink) {
	for number, name := range opNames {
		if c := f.ops.Counts(number); c.Count() > 0 {
			to.PutCommand(requestFamilies, name, &c, func(i int) string { return codeNames[i] })
		}
	}
	s := &f.stats
	to.Put(connections, float64(s.connected.Load()))
	to.Put(most, float64(f.opts.Bounds.Connections))
	to.Put(refused, float64(s.turnedAway.Load()), "too_many")
	to.Put(refused, float64(s.cut.Load()), "not_reading")
	to.Put(refused, float64(s.garbage.Load()), "other_protocol")
	to.Put(logins, float64(s.logins.Load()))
	to.Put(sessions, float64(s.sessions.Load()))
	to.Put(expired, float64(s.expired.Load()))
	to.Put(watchCount, float64(s.watches.Load()))
	to.Put(streams, float64(f.hub.count()))
	to.Put(waiting, float64(s.outstanding.Load()))
	to.Put(heldBytes, float64(s.held.Load()))
}
