package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viewring/internal/metrics"
	"viewring/internal/tally"
	"viewring/ring"
	"viewring/server/lane"
	"viewring/server/redis"
	"viewring/server/replica"
	"viewring/viewleader/vocab"
)

// meters are what is counted for nobody but who reads metrics.
type meters struct {
	batches tally.Histogram // operations of a lane's batch
	syncs   tally.Histogram // times of synced writes
	slow    tally.Slow      // the newest of them that took very long
}

// synced notes a synced write of the log. LATENCY has it as Redis has that of its file.
func (s *Server) synced(took time.Duration) {
	s.meters.syncs.NoteTime(took)
	s.meters.slow.Note(took, slowSync, time.UnixMilli(s.wall()))
	s.monitor.Spike("aof-fsync-always", took)
}

// The families of a server. What is of a partition is told by its primary alone, so that sums over
// servers are of the cluster.
var (
	commandFamilies = metrics.NewCommands("server", "commands", "command", "outcome",
		"From the arrival of a command to its reply.")
	connFamilies = metrics.NewConnections("server")

	viewEpoch     = metrics.Gauge("server_view_epoch", "Epoch of the view that the server uses.")
	partitions    = metrics.Gauge("server_partitions", "Partitions here, by what the server is to them.", "role")
	copiesShort   = metrics.Gauge("server_copies_short", "Copies that partitions lack whose primary is here.")
	readOnly      = metrics.Gauge("server_partitions_read_only", "Partitions whose primary is here and that have fewer acting copies than min-copies.")
	notServing    = metrics.Gauge("server_partitions_not_serving", "Partitions whose primary is here and does not serve yet.")
	unleased      = metrics.Gauge("server_partitions_unleased", "Partitions that are served here without a lease: each read asks the view leader.")
	keys          = metrics.Gauge("server_keys", "Keys of users, of all copies here.")
	valueBytes    = metrics.Gauge("server_value_bytes", "Bytes of their values.")
	watchesOpen   = metrics.Gauge("server_watches", "Watches of clients.")
	laneStill     = metrics.Gauge("server_lane_idle_seconds", "How long ago the lane last moved that stands still for longest.")
	waitingWrites = metrics.Gauge("server_replication_waiting_writes", "Writes that wait until their copies are on disk.")
	oldestWrite   = metrics.Gauge("server_replication_oldest_write_seconds", "How long the oldest of them has waited.")
	lagEntries    = metrics.Gauge("server_replication_lag_entries", "Entries of the partitions whose primary is here that an acting backup has not acknowledged.", "peer")
	linkUp        = metrics.Gauge("server_link_up", "Whether the link to another server stands.", "peer")
	linkBytes     = metrics.Gauge("server_link_waiting_bytes", "Bytes that wait to be sent on a link.", "peer")
	linkDropped   = metrics.Counter("server_link_dropped_messages_total", "Messages that a link had no room for. They are sent again.", "peer")

	stopTimes = metrics.Histogram("server_handoff_stop_duration_seconds",
		"How long partitions took no writes because their acting replicas changed; told by the next primary.")

	batchSizes = metrics.Histogram("server_batch_operations", "Operations of the store in a batch that is synced as one.")
	syncTimes  = metrics.Histogram("server_store_sync_duration_seconds", "Synced writes of the log.")

	storeItems       = metrics.Gauge("server_store_items", "Items in the log's index.")
	storeSegments    = metrics.Gauge("server_store_segments", "Files of the log.")
	storeDisk        = metrics.Gauge("server_store_disk_bytes", "Bytes of the log's files.")
	storeLive        = metrics.Gauge("server_store_live_bytes", "Bytes of them that are needed.")
	storeTombstones  = metrics.Gauge("server_store_tombstone_bytes", "Bytes of deletions that are kept.")
	storeWritten     = metrics.Counter("server_store_written_bytes_total", "Bytes written to the log.")
	storeCopied      = metrics.Counter("server_store_collected_bytes_total", "Bytes that collection wrote again.")
	storeFreed       = metrics.Counter("server_store_segments_freed_total", "Files of the log that collection has freed.")
	storeCollecting  = metrics.Gauge("server_store_collecting", "Whether a segment is being collected.")
	storeCheckpoints = metrics.Counter("server_store_checkpoints_total", "Checkpoints of the index.")
	storeCkpBytes    = metrics.Counter("server_store_checkpoint_bytes_total", "Bytes written to them.")
	storeDamage      = metrics.Counter("server_store_damage_total", "Damaged records, frames and segments of the log that were met.")
	corruptKeys      = metrics.Counter("server_corrupt_keys_total", "Keys that could not be read.")
	repairedKeys     = metrics.Counter("server_repaired_keys_total", "Of these: repaired from another copy.")
	lostKeys         = metrics.Counter("server_unrepairable_keys_total", "Of these: corrupt on every acting copy.")
	diskFree         = metrics.Gauge("server_disk_free_bytes", "Bytes that the file system of the data has left.")
	diskFull         = metrics.Gauge("server_disk_full", "Whether that is so little that the server takes nothing new.")
	cacheReads       = metrics.Counter("server_cache_reads_total", "Looks for an item, by whether it was in memory (hit) or not (miss).", "result")

	movePartitions = metrics.Gauge("server_rebalance_partitions_left", "Copies that the server has still to make.")
	moveBytes      = metrics.Gauge("server_rebalance_left_bytes", "About how many bytes they are.")
	moveRate       = metrics.Gauge("server_rebalance_rate_bytes", "Bytes a second that were copied in lately.")
	moveLimit      = metrics.Gauge("server_rebalance_limit_bytes", "Bytes a second that may be copied in; 0: any.")
	moveAllowed    = metrics.Gauge("server_rebalance_allowed_bytes", "Bytes a second that may be copied in now, as clients fare; 0: any.")
	moveGiven      = metrics.Gauge("server_rebalance_given_bytes", "Bytes a second that others may copy from here now, likewise.")
	movePaused     = metrics.Gauge("server_rebalance_paused", "Whether an operator has paused the copying in.")
	moveWaiting    = metrics.Gauge("server_rebalance_waiting", "Copies that do not come, by what they wait for.", "why")
	moveDone       = metrics.Counter("server_rebalance_partitions_total", "Copies that were begun: full, or delta of what changed.", "copy")
	moveCopied     = metrics.Counter("server_rebalance_bytes_total", "Bytes that were copied in.")
	moveEnded      = metrics.Counter("server_rebalance_partitions_ended_total", "Copies that were made and act.")
	moveKeys       = metrics.Counter("server_rebalance_keys_total", "Keys that were copied in.")

	memoryBudget = metrics.Gauge("server_memory_budget_bytes", "Memory that the server may take (--memory).")
	memoryUsed   = metrics.Gauge("server_memory_used_bytes", "Of these: by the index, by items that are kept, by requests under way.", "use")
	memoryLimit  = metrics.Gauge("server_memory_limit_bytes", "Of these: the most that items and requests may take.", "use")
)

// Service is the server as its process's port for metrics shows it.
func (s *Server) Service() metrics.Service {
	return metrics.Service{Name: "server", Collect: s.collect, Ready: s.ready, Healthy: s.healthy}
}

// healthy says why the server won't go on: its store has failed, or a lane stands still.
func (s *Server) healthy() error {
	if err := s.store.Err(); err != nil {
		return err
	}
	if n := s.lanes.Stalled(stalledAfter); n >= 0 {
		return fmt.Errorf("lane %d stands still", n)
	}
	return nil
}

// stalledAfter is when a lane that does nothing is broken: the slowest disk lets it go on sooner.
const stalledAfter = 30 * time.Second

var errNoMember = errors.New("it is no member of the view")

// ready says why the server takes no part in its cluster now: it is in by its own view, and its lanes serve by that.
func (s *Server) ready() error {
	v := s.views.View()
	switch me := v.Member(s.id); {
	case s.ctx.Err() != nil:
		return errStopped
	case me == nil:
		return errNoMember
	case !me.Up:
		return errors.New("the view leader takes it for dead")
	case me.Status != ring.In:
		return fmt.Errorf("it is %v", me.Status)
	case s.lanes.Done() < v.Epoch:
		return fmt.Errorf("it takes up epoch %d", v.Epoch)
	}
	return nil
}

// collect tells all figures.
func (s *Server) collect(ctx context.Context, to *metrics.Sink) {
	s.monitor.Each(func(name string, c *tally.OpCounts) {
		to.PutCommand(commandFamilies, name, c, func(i int) string { return redis.Ended(i).String() })
	})
	to.PutConnections(connFamilies, s.frontend)
	s.collectPartitions(ctx, to)
	for _, l := range s.links.States() {
		to.PutBool(linkUp, l.Linked, l.To.String())
		to.Put(linkBytes, float64(l.Bytes), l.To.String())
		to.Put(linkDropped, float64(l.Dropped), l.To.String())
	}
	batches, syncs := s.meters.batches.Counts(), s.meters.syncs.Counts()
	to.PutSizes(batchSizes, &batches)
	to.PutTimes(syncTimes, &syncs)
	stopped := s.stops.times.Counts()
	to.PutTimes(stopTimes, &stopped)
	s.collectStore(to)
	s.collectMoves(to)
}

// collectPartitions tells of the partitions here, and what the lanes say of them.
func (s *Server) collectPartitions(ctx context.Context, to *metrics.Sink) {
	t := s.stats()
	for role, n := range map[string]uint32{"primary": t.Primaries, "backup": t.Backups, "learner": t.Learners, "stray": t.Strays} {
		to.Put(partitions, float64(n), role)
	}
	v, table := s.views.Placement()
	to.Put(viewEpoch, float64(v.Epoch))
	to.Put(keys, float64(t.Keys))
	to.Put(valueBytes, float64(t.Bytes))
	to.Put(watchesOpen, float64(s.lanes.Watches()))
	short, few := 0, 0
	for i := range v.Partitions {
		if p := &v.Partitions[i]; p.Primary() == s.id {
			for _, id := range table.Targets(ring.PartitionID(i)) {
				if !p.IsActing(id) {
					short++
				}
			}
			if len(p.Acting) < int(p.MinCopies) {
				few++
			}
		}
	}
	to.Put(copiesShort, float64(short))
	to.Put(readOnly, float64(few))
	idle, inactive := time.Duration(0), 0
	for _, l := range s.lanes {
		idle = max(idle, s.opts.Now().Mono-l.LastRound())
		inactive += l.Stats().Inactive
	}
	to.Put(laneStill, idle.Seconds())
	to.Put(notServing, float64(inactive))
	sum := s.lookAtLanes(ctx, v)
	if sum == nil {
		return // a lane stands still: laneStill tells
	}
	to.Put(unleased, float64(sum.unleased))
	to.Put(waitingWrites, float64(sum.waiting))
	to.Put(oldestWrite, sum.oldest.Seconds())
	for i := range v.Members {
		if id := v.Members[i].ID; id != s.id {
			to.Put(lagEntries, float64(sum.lag[id]), id.String())
		}
	}
}

// laneSum is what lanes say at a scrape.
type laneSum struct {
	unleased, waiting int
	oldest            time.Duration
	lag               map[ring.ServerID]uint64
}

// add adds what one lane says.
func (sum *laneSum) add(o *laneSum) {
	sum.unleased += o.unleased
	sum.waiting += o.waiting
	sum.oldest = max(sum.oldest, o.oldest)
	for id, n := range o.lag {
		sum.lag[id] += n
	}
}

// glance is a look at a lane's core that no client waits for.
type glance struct {
	at   func(core *replica.Core)
	done chan<- struct{}
}

func (g *glance) ToRead() (r lane.Read, isRead bool) { return r, false }
func (g *glance) ToWrite() *replica.Request          { return nil }
func (g *glance) Look() func(*replica.Core) (replica.Answer, bool) {
	return lane.Only(g.at)
}
func (g *glance) Complete(replica.Answer) { g.done <- struct{}{} }
func (g *glance) Client() lane.Client     { return lane.Nobody{} }

// lookAtLanes has each lane look at its partitions; nil where one does not in time.
func (s *Server) lookAtLanes(ctx context.Context, v *ring.View) *laneSum {
	done := make(chan struct{}, len(s.lanes))
	sums := make([]laneSum, len(s.lanes))
	asked := make(chan struct{})
	go func() { // Put may wait for a lane
		defer close(asked)
		for i := range s.lanes {
			sums[i].lag = make(map[ring.ServerID]uint64)
			s.lanes.Put(i, lane.Looked(&glance{func(core *replica.Core) { s.lookAtLane(core, v, i, &sums[i]) }, done}))
		}
	}()
	for range s.lanes {
		select {
		case <-done:
		case <-ctx.Done():
			return nil
		case <-s.ctx.Done():
			return nil
		}
	}
	<-asked
	all := &laneSum{lag: make(map[ring.ServerID]uint64)}
	for i := range sums {
		all.add(&sums[i])
	}
	return all
}

// lookAtLane runs in the lane's turn.
func (s *Server) lookAtLane(core *replica.Core, v *ring.View, number int, sum *laneSum) {
	now := s.opts.Now()
	for p := number; p < len(v.Partitions); p += len(s.lanes) {
		id := ring.PartitionID(p)
		if !core.Serves(id) {
			continue
		}
		if !core.Leased(now, id) {
			sum.unleased++
		}
		l := core.Lag(id, func(peer ring.ServerID, entries uint64) { sum.lag[peer] += entries })
		if sum.waiting += l.Waiting; l.Waiting > 0 {
			sum.oldest = max(sum.oldest, now.Mono-l.Since)
		}
	}
}

// collectStore tells of the log, the disk and the memory.
func (s *Server) collectStore(to *metrics.Sink) {
	t := s.stats()
	to.Put(storeItems, float64(t.LogKeys))
	to.Put(storeSegments, float64(t.LogSegments))
	to.Put(storeDisk, float64(t.LogDisk))
	to.Put(storeLive, float64(t.LogLive))
	to.Put(storeTombstones, float64(t.LogTombstones))
	to.Put(storeWritten, float64(t.LogWritten))
	to.Put(storeCopied, float64(t.LogCopied))
	to.Put(storeFreed, float64(t.LogFreed))
	to.PutBool(storeCollecting, t.Collecting)
	to.Put(storeCheckpoints, float64(t.Checkpoints))
	to.Put(storeCkpBytes, float64(t.CheckpointBytes))
	to.Put(storeDamage, float64(t.LogDamage))
	to.Put(corruptKeys, float64(t.Corrupt))
	to.Put(repairedKeys, float64(t.Repaired))
	to.Put(lostKeys, float64(t.Unrepairable))
	to.Put(diskFree, float64(t.DiskFree))
	to.PutBool(diskFull, t.Full)
	looks, found := s.lanes.Looks()
	to.Put(cacheReads, float64(found), "hit")
	to.Put(cacheReads, float64(looks-found), "miss")
	to.Put(memoryBudget, float64(t.Memory))
	to.Put(memoryUsed, float64(t.IndexBytes), "index")
	to.Put(memoryUsed, float64(t.ItemBytes), "items")
	to.Put(memoryUsed, float64(t.RequestBytes), "requests")
	to.Put(memoryLimit, float64(t.ItemBytesMax), "items")
	to.Put(memoryLimit, float64(t.RequestBytesMax), "requests")
}

// movesWait are the labels of what copies wait for.
var movesWait = [...]string{vocab.WaitingPaused: "paused", vocab.WaitingFull: "disk full", vocab.WaitingLimit: "rate",
	vocab.WaitingPrimary: "primary", vocab.WaitingSlow: "source slow", vocab.WaitingSilent: "source silent", vocab.WaitingClients: "clients"}

// collectMoves tells of rebalancing.
func (s *Server) collectMoves(to *metrics.Sink) {
	t, p := s.stats(), s.mover.Moved()
	to.Put(movePartitions, float64(p.Left))
	to.Put(moveBytes, float64(p.LeftBytes))
	to.Put(moveRate, float64(p.Rate))
	to.Put(moveLimit, float64(s.mover.Progress().Limit))
	to.Put(moveAllowed, float64(p.Allowed.Rate))
	to.Put(moveGiven, float64(s.mover.Pacing().Gives))
	to.PutBool(movePaused, p.Paused)
	waiting := make(map[uint8]uint64)
	for _, w := range s.mover.Waiting().Waits {
		waiting[w.Why] += w.Copies
	}
	for why, name := range movesWait {
		if name != "" {
			to.Put(moveWaiting, float64(waiting[uint8(why)]), name)
		}
	}
	to.Put(moveDone, float64(t.MovedPartitions), "full")
	to.Put(moveDone, float64(t.DeltaPartitions), "delta")
	to.Put(moveCopied, float64(p.Bytes))
	to.Put(moveEnded, float64(p.Done))
	to.Put(moveKeys, float64(t.CopiedKeys))
}
