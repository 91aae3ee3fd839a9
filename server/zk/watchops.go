package zk

import (
	"context"
	"errors"
	"sync"

	"viewring/internal/tree"
	"viewring/server/zk/jute"
)

// modes are the kinds of watches by their names in requests.
var modes = map[int32]kinds{
	jute.WatchersChildren: ofChildren, jute.WatchersData: ofData, jute.WatchersAny: ofData | ofChildren | persistent | recursive,
	jute.WatchersPersistent: persistent, jute.WatchersRecursive: recursive,
}

// addWatch adds a watch that stays.
func (c *conn) addWatch(ctx context.Context, q *jute.Request) (answer, error) {
	k := persistent
	switch q.Mode {
	case jute.WatchPersistent:
	case jute.WatchPersistentRecursive:
		k = recursive
	default:
		return answer{}, failf(jute.BadArguments, "a watch of mode %d", q.Mode)
	}
	if err := c.addLasting(ctx, q.Path, k); err != nil {
		return answer{}, err
	}
	return answer{body: jute.AppendInt(nil, 0)}, nil
}

func (c *conn) addLasting(ctx context.Context, path string, k kinds) error {
	if err := tree.Check(path); err != nil {
		return err
	}
	if err := c.watches.prepare(ctx, path, k); err != nil {
		return err
	}
	n, err := c.f.getPatiently(ctx, path)
	if err != nil {
		c.watches.giveUp(path, k)
		return err
	}
	c.watches.arm(path, k, seen{exists: n != nil})
	return nil
}

func (c *conn) removeWatches(_ context.Context, q *jute.Request) (answer, error) {
	k, err := modeOf(q)
	if err == nil && !c.watches.remove(q.Path, k) {
		err = failf(jute.NoWatcher, "there is no such watch of %s", q.Path)
	}
	return answer{}, err
}

func (c *conn) checkWatches(_ context.Context, q *jute.Request) (answer, error) {
	k, err := modeOf(q)
	if err == nil && !c.watches.has(q.Path, k) {
		err = failf(jute.NoWatcher, "there is no such watch of %s", q.Path)
	}
	return answer{}, err
}

func modeOf(q *jute.Request) (kinds, error) {
	k, ok := modes[q.Mode]
	if !ok {
		return 0, failf(jute.BadArguments, "watches of kind %d", q.Mode)
	}
	return k, tree.Check(q.Path)
}

// settersMax is how many nodes are read at a time for the watches of a client that comes back.
const settersMax = 16

// setWatches sets the watches again of a client that has lost its connection, and tells of each whose
// node is another than before, as far as anybody can know: versions of different directories can't be
// compared, so one that may have changed counts as changed. One that can't be set, of those that fire once,
// has fired: its client looks, and hears then what is wrong. Of one that stays nobody could be told what it misses: that
// ends the connection, or where it would end the next one too, is the answer.
func (c *conn) setWatches(ctx context.Context, q *jute.Request) (answer, error) {
	var running sync.WaitGroup
	free := make(chan struct{}, settersMax)
	var mu sync.Mutex
	var failed error
	set := func(paths []string, do func(path string) error) {
		for _, path := range paths {
			free <- struct{}{}
			running.Go(func() {
				defer func() { <-free }()
				if err := do(path); err != nil {
					mu.Lock()
					if failed == nil || codeOf(err) != jute.ConnectionLoss {
						failed = err
					}
					mu.Unlock()
				}
			})
		}
	}
	once := func(paths []string, k kinds, existed bool) {
		set(paths, func(path string) error {
			err := c.setAgain(ctx, path, k, existed)
			if err == nil || errors.Is(err, tree.ErrBadPath) {
				return err
			}
			c.out.event(changeOf(k, existed), path)
			return nil
		})
	}
	w := &q.Watches
	once(w.Data, ofData, true)
	once(w.Exist, ofData, false)
	once(w.Children, ofChildren, true)
	set(w.Persistent, func(path string) error { return c.addLasting(ctx, path, persistent) })
	set(w.Recursive, func(path string) error { return c.addLasting(ctx, path, recursive) })
	running.Wait()
	if codeOf(failed) == jute.ConnectionLoss {
		c.f.opts.Logger.Info("watches could not be set again", "session", c.name(), "err", cut(failed.Error()))
		return answer{}, errUntold
	}
	return answer{}, failed
}

// changeOf is the event of a watch that has to count as fired, of a node that is there now.
func changeOf(k kinds, existed bool) jute.Event {
	switch {
	case !existed:
		return jute.NodeCreated
	case k == ofChildren:
		return jute.NodeChildrenChanged
	}
	return jute.NodeDataChanged
}

// setAgain sets one watch again. existed says that its node was there when the client set it.
func (c *conn) setAgain(ctx context.Context, path string, k kinds, existed bool) error {
	l, err := c.look(ctx, path, true, k)
	if err != nil {
		return err
	}
	defer l.end()
	n, err := c.f.getPatiently(ctx, path)
	if err != nil {
		return err
	}
	switch {
	case n == nil && existed:
		c.out.event(jute.NodeDeleted, path)
	case n == nil:
		l.armed(seen{})()
	default:
		c.out.event(changeOf(k, existed), path)
	}
	return nil
}
