package server

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
)

// SUBSCRIBE and its like, PUBSUB, and CLIENT TRACKING.

// scopedNameMax is longer than any channel's name: another subscription would hear nothing.
const scopedNameMax = wire.KeyBytesMax + len(redis.KeyspacePrefix)

// subscriptionBytes is what a subscription counts besides its name.
const subscriptionBytes = 256

// patternsMax is how many patterns one client may listen by: each is tried with each change.
const patternsMax = 1024

// patternBytesMax bounds one: matching may take as long as the pattern times the name.
const patternBytesMax = 1024

func (c *conn) runSubscribe(args [][]byte) error {
	return c.subscribe(redisCommand("subscribe"), redis.OneChannel, args)
}

func (c *conn) runPSubscribe(args [][]byte) error {
	return c.subscribe(redisCommand("psubscribe"), redis.Pattern, args)
}

func (c *conn) runUnsubscribe(args [][]byte) error {
	return c.unsubscribe(redisCommand("unsubscribe"), redis.OneChannel, args)
}

func (c *conn) runPUnsubscribe(args [][]byte) error {
	return c.unsubscribe(redisCommand("punsubscribe"), redis.Pattern, args)
}

// subscribe begins subscriptions, all of them or none. Messages come after the confirmation.
func (c *conn) subscribe(cmd *command, scope redis.Scope, args [][]byte) error {
	client := c.session.client
	if errText := c.mayName(scope, args); errText != "" {
		return c.reject(errText)
	}
	c.post.hold()
	defer c.post.letGo()
	replies := make([]wire.Value, len(args))
	for i, a := range args {
		name := string(a)
		count, isNew := client.Subscribe(scope, name)
		switch {
		case !isNew:
			c.Give(subscriptionCost(a)) // mayName has taken it
		case !c.s.notifier.subscribe(scope, name, &c.post):
			return errStopped
		}
		replies[i] = redis.Confirm(cmd.row, bytes.Clone(a), count)
	}
	c.guard()
	c.confirm(replies)
	return nil
}

func subscriptionCost(name []byte) int64 { return int64(subscriptionBytes + len(name)) }

// mayName takes room for subscriptions, and returns the error where there is none.
func (c *conn) mayName(scope redis.Scope, names [][]byte) (errText string) {
	if scope == redis.Pattern && len(c.session.client.Subscribed(scope))+len(names) > patternsMax {
		return wire.CodeTooLarge + " more patterns than one client may listen by"
	}
	cost := int64(0)
	for _, n := range names {
		if scope == redis.Pattern && len(n) > patternBytesMax {
			return fmt.Sprintf("%s a pattern has at most %d bytes", wire.CodeTooLarge, patternBytesMax)
		}
		if len(n) > scopedNameMax {
			return wire.CodeTooLarge + " no channel has so long a name"
		}
		cost += subscriptionCost(n)
	}
	if !c.Take(cost) {
		return wire.CodeBusy + " too many bytes are under way"
	}
	return ""
}

// unsubscribe ends subscriptions; without names, all of the scope. No message comes after the
// confirmation: who speaks RESP2 would take it for a reply.
func (c *conn) unsubscribe(cmd *command, scope redis.Scope, args [][]byte) error {
	all := len(args) == 0
	if all {
		for _, name := range c.session.client.Subscribed(scope) {
			args = append(args, []byte(name))
		}
	}
	var replies []wire.Value
	ended := make(map[string]bool)
	for _, a := range args {
		replies = append(replies, redis.Confirm(cmd.row, bytes.Clone(a), c.endSubscription(scope, a)))
		ended[string(a)] = true
	}
	c.post.discard(scope, ended)
	if all && len(args) == 0 {
		replies = append(replies, redis.Confirm(cmd.row, nil, c.session.client.Subscriptions()))
	}
	c.guard()
	c.confirm(replies)
	return nil
}

func (c *conn) endSubscription(scope redis.Scope, name []byte) (count int) {
	count, had := c.session.client.Unsubscribe(scope, string(name))
	if had {
		c.s.notifier.unsubscribe(scope, string(name), &c.post)
		c.Give(subscriptionCost(name))
	}
	return count
}

// unsubscribeAll ends all subscriptions, and says nothing.
func (c *conn) unsubscribeAll() {
	for _, scope := range []redis.Scope{redis.OneChannel, redis.Pattern} {
		for _, name := range c.session.client.Subscribed(scope) {
			c.endSubscription(scope, []byte(name))
		}
	}
}

// confirm answers, a push for each name.
func (c *conn) confirm(replies []wire.Value) {
	c.reply(func(w *wire.Writer) {
		for i := range replies {
			w.WriteValue(replies[i])
		}
	})
}

// sayPubSubChannels is PUBSUB CHANNELS [pattern].
func (c *conn) sayPubSubChannels(args [][]byte) wire.Value {
	n := c.s.notifier
	n.mu.Lock()
	names := slices.Sorted(maps.Keys(n.mu.channels))
	n.mu.Unlock()
	found := redis.Array()
	for _, name := range names {
		if len(args) == 0 || redis.Match(string(args[0]), name) {
			found.Array = append(found.Array, redis.Text(name))
		}
	}
	return found
}

func (c *conn) sayPubSubNumSub(args [][]byte) wire.Value {
	n := c.s.notifier
	n.mu.Lock()
	defer n.mu.Unlock()
	found := redis.Array()
	for _, a := range args {
		found.Array = append(found.Array, redis.Bulk(bytes.Clone(a)), redis.Number(int64(len(n.mu.channels[string(a)]))))
	}
	return found
}

func (c *conn) sayPubSubNumPat([][]byte) wire.Value {
	n := c.s.notifier
	n.mu.Lock()
	defer n.mu.Unlock()
	return redis.Number(int64(len(n.mu.patterns)))
}

// sayClientTracking is CLIENT TRACKING.
func (c *conn) sayClientTracking(args [][]byte) wire.Value {
	client, n := c.session.client, c.s.notifier
	if errText := client.Track(args, func(id int64) bool { return n.client(id) != nil }); errText != "" {
		return redis.Fail(errText)
	}
	t := client.Tracking()
	switch {
	case !t.On:
		c.untrack()
		return redis.OK()
	case c.session.cacher != nil && c.session.cacher.id == t.Redirect && !t.BCast:
		return redis.OK() // what it keeps stays known
	}
	told := &c.post
	if to := n.client(t.Redirect); to != nil {
		told = &to.post
	}
	before := c.session.cacher
	after := &cacher{own: &c.post, told: told, id: t.Redirect}
	if !n.want() {
		client.Untrack()
		return failed(errStopped)
	}
	n.tracker.join(after, t.Prefixes)
	c.session.cacher = after
	if t.Redirect != 0 && n.client(t.Redirect) == nil { // it has just gone: who leaves looks after that
		after.broke()
	}
	if before != nil {
		n.tracker.leave(before)
		n.unwant()
		told.allStale() // the keys that it keeps are not known any more
	}
	return redis.OK()
}

// untrack ends client-side caching.
func (c *conn) untrack() {
	if c.session.cacher == nil {
		return
	}
	c.s.notifier.tracker.leave(c.session.cacher)
	c.s.notifier.unwant()
	c.session.cacher = nil
}

// runTracked carries out a command of a client that may keep values. The keys that it reads are
// known before their values are, and that these are old is told after the reply.
func (c *conn) runTracked(cmd *command, args [][]byte) error {
	client := c.session.client
	if c.session.cacher == nil {
		return cmd.run(c, args)
	}
	defer func() {
		if c.session.multi == nil {
			client.Followed(cmd.row)
		}
	}()
	keys := c.keysRead(cmd, args)
	if len(keys) == 0 {
		return cmd.run(c, args)
	}
	c.post.hold()
	defer c.post.letGo()
	if client.Keeps() {
		partitions := len(c.view().Partitions)
		for _, k := range keys {
			c.s.notifier.tracker.remember(c.session.cacher, ring.PartitionOf(ring.SlotOf(string(k)), partitions), k)
		}
	}
	return cmd.run(c, args)
}

// keysRead returns the keys that a command reads, and whose values its reply tells: with EXEC,
// those of all commands after MULTI.
func (c *conn) keysRead(cmd *command, args [][]byte) (keys [][]byte) {
	if cmd.row == nil {
		return nil
	}
	if m := c.session.multi; m != nil && cmd.row.Name == "exec" {
		for _, s := range m.steps {
			keys = append(keys, keysReadBy(s.cmd, s.args)...)
		}
		return keys
	}
	return keysReadBy(cmd, args)
}

func keysReadBy(cmd *command, args [][]byte) [][]byte {
	if !cmd.row.HasFlag("readonly") {
		return nil
	}
	return cmd.row.KeysOf(args)
}
