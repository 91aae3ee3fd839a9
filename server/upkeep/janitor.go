package upkeep

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/tree"
)

// Cluster is all servers, as a client asks them. route.Client is one.
type Cluster interface {
	Tree(ctx context.Context, name string, q *wire.TreeRequest) (wire.TreeReply, error)
	Chunk(ctx context.Context, name string, q *wire.ChunkRequest) (wire.DoReply, error)
}

// Graces say for how long contents of files are kept that nothing names.
type Graces struct {
	Replaced time.Duration // for who still reads it
	Writing  time.Duration // without a sign of its writer
	Sweep    time.Duration // between two looks for chunks whose content is gone
}

const (
	janitorEvery     = time.Second
	janitorAgain     = 5 * time.Second // after what failed
	janitorElsewhere = 2 * time.Second // where another server is primary: it may be this one by then
	janitorTimeout   = time.Minute     // of one request
	janitorWorkers   = 4               // contents at a time
	chunkDeletes     = 8               // of one content at a time
	shrinkEvery      = 1000            // chunks
)

// Janitor ends contents of files that nothing names and nobody keeps, and removes what has
// ended (server/tree/FILES.md). It knows all to-dos that are in the store.
type Janitor struct {
	b       Base
	views   Views
	cluster Cluster
	graces  Graces
	unread  unread

	mu struct {
		sync.Mutex
		todo map[wire.Content]*todo
		line todoLine // of those that nobody works on
	}
}

// todo is what is known of a content that something may be to do about. learned is when it
// was written last, or later: whoever kept the content since has had it written again.
type todo struct {
	content   wire.Content
	partition ring.PartitionID
	learned   time.Duration // Instant.Mono
	next      time.Duration // when to look
	at        int           // in the line; -1: it is being worked on
}

// todoLine is a heap of to-dos, of which that comes first that is to be looked at first: there may be as many as
// files were replaced within a grace.
type todoLine []*todo

func (l todoLine) Len() int           { return len(l) }
func (l todoLine) Less(i, j int) bool { return l[i].next < l[j].next }
func (l todoLine) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].at, l[j].at = i, j
}

// Push is that of heap.Interface.
func (l *todoLine) Push(x any) {
	t := x.(*todo)
	t.at = len(*l)
	*l = append(*l, t)
}

// Pop is that of heap.Interface.
func (l *todoLine) Pop() any {
	n := len(*l) - 1
	t := (*l)[n]
	(*l)[n] = nil
	*l, t.at = (*l)[:n], -1
	return t
}

// NewJanitor returns a janitor, which has read the to-dos in the store, as far as they can be read.
// From then on it must be told of all that is stored.
func NewJanitor(b *Base, views Views, cluster Cluster, graces Graces, partitions int) *Janitor {
	j := &Janitor{b: *b, views: views, cluster: cluster, graces: graces}
	j.mu.todo = make(map[wire.Content]*todo)
	j.unread = unread{b: &j.b, what: "contents of files", add: j.add}
	j.unread.read(all(partitions))
	return j
}

func (j *Janitor) add(p ring.PartitionID, key replica.Key) {
	c, ok := tree.ParseTodo(key)
	if !ok {
		return
	}
	now := j.b.Now().Mono
	j.mu.Lock()
	defer j.mu.Unlock()
	t := j.mu.todo[c]
	if t == nil {
		t = &todo{content: c, next: now + j.graces.Replaced}
		j.mu.todo[c] = t
		heap.Push(&j.mu.line, t)
	}
	t.partition, t.learned, t.next = p, now, now+j.graces.Replaced
	if t.at >= 0 {
		heap.Fix(&j.mu.line, t.at)
	}
}

func (j *Janitor) remove(key replica.Key) {
	if c, ok := tree.ParseTodo(key); ok {
		j.forget(c)
	}
}

func (j *Janitor) forget(c wire.Content) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if t := j.mu.todo[c]; t != nil {
		j.drop(t)
	}
}

// drop forgets a to-do, with the lock held.
func (j *Janitor) drop(t *todo) {
	delete(j.mu.todo, t.content)
	if t.at >= 0 {
		heap.Remove(&j.mu.line, t.at)
	}
}

func (j *Janitor) wiped(p ring.PartitionID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, t := range j.mu.todo {
		if t.partition == p {
			j.drop(t)
		}
	}
}

// Waiting is how many contents there are that nothing names, of the partitions whose copies are here.
func (j *Janitor) Waiting() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.mu.todo)
}

// Run does what is due, until the server stops.
func (j *Janitor) Run() {
	var working sync.WaitGroup
	defer working.Wait()
	places := make(chan struct{}, janitorWorkers)
	for wait.For(j.b.Context, janitorEvery) {
		j.unread.again()
		for _, c := range j.due() {
			select {
			case places <- struct{}{}:
			case <-j.b.Context.Done():
				return
			}
			working.Go(func() {
				j.work(c)
				<-places
			})
		}
	}
}

// due takes what there is to do now, where this server is primary.
func (j *Janitor) due() (due []wire.Content) {
	now, v := j.b.Now().Mono, j.views.View()
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.mu.line) > 0 && j.mu.line[0].next <= now {
		t := j.mu.line[0]
		if int(t.partition) < len(v.Partitions) && v.Partitions[t.partition].Primary() == j.b.Self {
			heap.Pop(&j.mu.line)
			due = append(due, t.content)
			continue
		}
		t.next = now + janitorElsewhere
		heap.Fix(&j.mu.line, 0)
	}
	return due
}

// work does what there is to do about a content, or says when to look again.
func (j *Janitor) work(c wire.Content) {
	next, err := j.tend(c)
	if err != nil && j.b.Context.Err() == nil {
		j.b.Logger.Debug("a content of a file can't be removed yet", "home", c.Home, "content", c.Version, "err", err)
		next = j.b.Now().Mono + janitorAgain
	}
	j.done(c, next)
}

// done puts a content back into the line that was worked on.
func (j *Janitor) done(c wire.Content, next time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if t := j.mu.todo[c]; t != nil && t.at < 0 {
		t.next = max(t.next, next)
		heap.Push(&j.mu.line, t)
	}
}

func (j *Janitor) step(c wire.Content, op wire.TreeOp, limit int64, idle wire.TreeVersion) (wire.TreeReply, error) {
	ctx, cancel := context.WithTimeout(j.b.Context, janitorTimeout)
	defer cancel()
	return j.cluster.Tree(ctx, "remove a file's content", &wire.TreeRequest{Op: op, Home: c.Home, Nonce: c.Version, Limit: int(limit), Idle: idle})
}

// tend ends a content that nobody keeps, and removes one that has ended. next is when to
// look again, by the monotonic clock.
func (j *Janitor) tend(c wire.Content) (next time.Duration, err error) {
	p, err := j.step(c, wire.TreeContent, 0, wire.TreeVersion{})
	learned := j.learned(c)                         // after the look: what is seen was written then, or before
	if err == nil && p.Code == wire.TreeNoContent { // it is gone for good, and so is its to-do
		j.forget(c)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if p.Code != wire.TreeOK {
		return 0, fmt.Errorf("unexpected outcome %d", p.Code)
	}
	switch state := p.Content.State; {
	case state == wire.ContentEnded:
		return 0, j.dismantle(c, p.Content.Reserved)
	case state == wire.ContentWhole && p.Content.Refs > 0:
		return j.b.Now().Mono + janitorAgain, nil // the to-do is about to go
	case state == wire.ContentWhole && j.b.Now().Mono < learned+j.graces.Replaced: // kept since it became due
		return learned + j.graces.Replaced, nil
	case state == wire.ContentWriting && j.b.Now().Mono < learned+j.graces.Writing:
		return learned + j.graces.Writing, nil
	}
	p, err = j.step(c, wire.TreeEnd, 0, p.Content.Idle)
	if err != nil || p.Code == wire.TreeInUse {
		return j.b.Now().Mono + janitorAgain, err
	}
	return 0, nil // the next look finds it ended
}

func (j *Janitor) learned(c wire.Content) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	if t := j.mu.todo[c]; t != nil {
		return t.learned
	}
	return j.b.Now().Mono
}

// dismantle deletes the chunks of a content that has ended, from the last to the first, and then
// the content.
func (j *Janitor) dismantle(c wire.Content, reserved int64) error {
	for reserved > 0 {
		first := max(0, reserved-shrinkEvery)
		if err := j.deleteChunks(c, first, reserved); err != nil {
			return err
		}
		p, err := j.step(c, wire.TreeShrink, first, wire.TreeVersion{})
		if err != nil || p.Code == wire.TreeNoContent {
			return err
		}
		reserved = first
	}
	_, err := j.step(c, wire.TreeGone, 0, wire.TreeVersion{})
	return err
}

// deleteChunks deletes some chunks, several at a time.
func (j *Janitor) deleteChunks(c wire.Content, from, to int64) error {
	var running sync.WaitGroup
	errs := make([]error, chunkDeletes)
	for w := range int64(chunkDeletes) {
		running.Go(func() {
			for i := from + w; i < to && errs[w] == nil; i += chunkDeletes {
				errs[w] = deleteChunk(j.b.Context, j.cluster, wire.Chunk{Content: c, Index: uint32(i)})
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

func deleteChunk(ctx context.Context, cluster Cluster, c wire.Chunk) error {
	ctx, cancel := context.WithTimeout(ctx, janitorTimeout)
	defer cancel()
	_, err := cluster.Chunk(ctx, "delete a chunk", &wire.ChunkRequest{Op: wire.ChunkDelete, Chunk: c})
	return err
}
