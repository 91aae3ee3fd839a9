package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"viewring/internal/route"
	"viewring/internal/wire"
)

// Version is one state of a key: a higher Term, or a higher Seq in the same, is a later
// one. The zero Version stands for "absent".
type Version struct{ Term, Seq uint64 }

// String returns the version as people read it.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Term, v.Seq) }

// Value is a key's value at one version.
type Value struct {
	Bytes   []byte
	Version Version
	Expires time.Time // when the key expires; zero: never
}

// Condition is what must hold of the key for a write to take effect; where it does not,
// the write does nothing and fails with ErrCondition. The zero Condition is Always.
type Condition struct {
	cond    wire.DoCond
	version Version
}

// IfAbsent holds while the key is absent.
func IfAbsent() Condition { return Condition{cond: wire.DoIfAbsent} }

// IfPresent holds while the key is present, whatever its value.
func IfPresent() Condition { return Condition{cond: wire.DoIfPresent} }

// IfVersion holds while the key is at exactly this version, as Get or Set returned it.
func IfVersion(v Version) Condition { return Condition{cond: wire.DoIfVersion, version: v} }

// Always holds whatever the key is.
func Always() Condition { return Condition{} }

// Get reads a key. An absent one is ErrNotFound.
func (c *Client) Get(ctx context.Context, key string) (Value, error) {
	return c.get(ctx, key, c.router.Do)
}

// TTL says how long a key will be there yet, by the clock of the server that answers; expires is false of one that
// stays until it is deleted. An absent one is ErrNotFound.
func (c *Client) TTL(ctx context.Context, key string) (left time.Duration, expires bool, err error) {
	name := fmt.Sprintf("read the time to live of %.200q", key)
	if key == "" {
		return 0, false, &route.Error{Op: name, Kind: ErrRefused, Last: errors.New("the name is empty")}
	}
	ms, err := c.router.Integer(ctx, name, "PTTL", key)
	switch {
	case err != nil:
		return 0, false, err
	case ms == pttlAbsent:
		return 0, false, &route.Error{Op: name, Kind: ErrNotFound}
	case ms < 0:
		return 0, false, nil
	}
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond, true, nil
}

// pttlAbsent is the answer of Redis's PTTL for an absent key.
const pttlAbsent = -2

// get reads a key by one of the router's ways.
func (c *Client) get(ctx context.Context, key string, do func(context.Context, string, *wire.DoRequest) (wire.DoReply, error)) (Value, error) {
	name := fmt.Sprintf("get %.200q", key)
	reply, err := do(ctx, name, &wire.DoRequest{Op: wire.DoGet, Key: []byte(key)})
	if err == nil {
		err = statusError(name, reply)
	}
	if err != nil {
		return Value{}, err
	}
	value := Value{Bytes: reply.Value, Version: Version{reply.Term, reply.Seq}}
	if reply.Expiry != 0 {
		value.Expires = time.UnixMilli(reply.Expiry)
	}
	return value, nil
}

// Set writes a key and returns its new version. The key then stays until it is deleted,
// also if it was to expire before. A value has up to 16 MiB, a key up to 64 KiB.
func (c *Client) Set(ctx context.Context, key string, value []byte, cond Condition) (Version, error) {
	reply, err := c.mutate(ctx, "set", key, &wire.DoRequest{Op: wire.DoSet, Value: value}, cond)
	return Version{reply.Term, reply.Seq}, err
}

// SetFor writes a key that expires after ttl, a millisecond or more, and returns its new
// version. The time is counted by the servers' clocks, from when one takes the write up.
func (c *Client) SetFor(ctx context.Context, key string, value []byte, ttl time.Duration, cond Condition) (Version, error) {
	ms, err := milliseconds(ttl)
	if err != nil {
		return Version{}, fmt.Errorf("set %.200q: %w", key, err)
	}
	reply, err := c.mutate(ctx, "set", key, &wire.DoRequest{Op: wire.DoSet, Value: value, TTL: ms}, cond)
	return Version{reply.Term, reply.Seq}, err
}

// Expire makes a key that is present expire after ttl, as SetFor does. An absent one is
// ErrNotFound.
func (c *Client) Expire(ctx context.Context, key string, ttl time.Duration) error {
	ms, err := milliseconds(ttl)
	if err != nil {
		return fmt.Errorf("expire %.200q: %w", key, err)
	}
	_, err = c.mutate(ctx, "expire", key, &wire.DoRequest{Op: wire.DoExpire, TTL: ms}, Always())
	return err
}

// Persist makes a key that is present stay until it is deleted, and reports whether it
// was to expire. An absent one is ErrNotFound.
func (c *Client) Persist(ctx context.Context, key string) (bool, error) {
	reply, err := c.mutate(ctx, "persist", key, &wire.DoRequest{Op: wire.DoExpire}, Always())
	return reply.Number != 0, err
}

// milliseconds rounds a time to live up.
func milliseconds(ttl time.Duration) (int64, error) {
	if ttl < time.Millisecond {
		return 0, fmt.Errorf("a time to live of %v: want a millisecond or more", ttl)
	}
	return int64((ttl-1)/time.Millisecond) + 1, nil
}

// Delete removes a key. An absent one is ErrNotFound.
func (c *Client) Delete(ctx context.Context, key string, cond Condition) error {
	_, err := c.mutate(ctx, "delete", key, &wire.DoRequest{Op: wire.DoDelete}, cond)
	return err
}

// Append adds value at the end of the key's value, an absent one counting as empty, and
// returns the new length in bytes.
func (c *Client) Append(ctx context.Context, key string, value []byte) (int64, error) {
	reply, err := c.mutate(ctx, "append to", key, &wire.DoRequest{Op: wire.DoAppend, Value: value}, Always())
	return reply.Number, err
}

// Incr adds delta to the key's value, a decimal integer of 64 bits, an absent one counting
// as 0, and returns the sum. It fails with ErrNotInteger where there is no sum.
func (c *Client) Incr(ctx context.Context, key string, delta int64) (int64, error) {
	reply, err := c.mutate(ctx, "increment", key, &wire.DoRequest{Op: wire.DoIncr, Delta: delta}, Always())
	return reply.Number, err
}

func (c *Client) mutate(ctx context.Context, verb, key string, q *wire.DoRequest, cond Condition) (wire.DoReply, error) {
	name := fmt.Sprintf("%s %.200q", verb, key)
	q.Key, q.Cond = []byte(key), cond.cond
	q.Term, q.Seq = cond.version.Term, cond.version.Seq
	fence, _ := ctx.Value(fenceKey{}).(Fence)
	q.FenceLock, q.FenceToken = fence.Lock, fence.Token
	reply, err := c.router.Do(ctx, name, q)
	if err != nil {
		return wire.DoReply{}, err
	}
	if err := fenced(name, fence, reply); err != nil {
		return reply, err
	}
	return reply, statusError(name, reply)
}

// fenced is the error of a write that came too late.
func fenced(name string, fence Fence, reply wire.DoReply) error {
	if reply.Status != wire.DoFenced {
		return nil
	}
	return &route.Error{Op: name, Kind: ErrFenced, Last: fmt.Errorf("%.200q: token %d was seen, this is %d", fence.Lock, reply.Number, fence.Token)}
}

// statusError turns the statuses that callers tell apart into errors.
func statusError(name string, reply wire.DoReply) error {
	switch reply.Status {
	case wire.DoNotFound:
		return &route.Error{Op: name, Kind: ErrNotFound}
	case wire.DoCondFailed:
		at := "the key is absent"
		if v := (Version{reply.Term, reply.Seq}); v != (Version{}) {
			at = "the key is at version " + v.String()
		}
		return &route.Error{Op: name, Kind: ErrCondition, Last: fmt.Errorf("%s", at)}
	case wire.DoNotInteger:
		return &route.Error{Op: name, Kind: ErrNotInteger}
	}
	return nil
}
