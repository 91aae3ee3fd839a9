package server

import (
	"math"

	"viewring/internal/wire"
	"viewring/server/redis"
	"viewring/server/replica"
)

// The commands about time to live. Times that are relative are counted by the primary
// when it takes the request up.

// ttlMax keeps the sum with any clock's time within 64 bits.
const ttlMax = math.MaxInt64 - 1<<43

// setTime makes a request expire: at ms, or ms from now. What is past makes the key
// one that is expired at once.
func setTime(r *replica.Request, form redis.TimeForm, ms int64) {
	switch {
	case form.Absolute:
		r.Expiry = max(1, ms)
	case ms == 0:
		r.TTL = -1 // 0 would stand for none
	default:
		r.TTL = min(ms, ttlMax)
	}
}

// runSet is SET.
func (c *conn) runSet(args [][]byte) error {
	o, ok := redis.ParseSet(args[2:])
	if !ok {
		c.replyError(redis.ErrSyntax)
		return nil
	}
	if o.Get {
		return c.runEvaluated(redisCommand("set"), args)
	}
	r := replica.Request{Op: replica.OpSet, KeepExpiry: o.KeepTTL}
	switch {
	case o.NX:
		r.Cond = replica.CondAbsent
	case o.XX:
		r.Cond = replica.CondPresent
	}
	if o.Timed && !c.setPositive(&r, "set", o.Form, o.Time) {
		return nil
	}
	return c.set(r, args[0], args[1])
}

// setPositive is setTime for times that must be above zero; it says so otherwise.
func (c *conn) setPositive(r *replica.Request, name string, form redis.TimeForm, arg []byte) bool {
	now := c.s.opts.Now().Wall
	ms, errText := redis.PositiveTime(redis.Lookup(name), form, arg, now)
	if errText != "" {
		c.replyError(errText)
		return false
	}
	setTime(r, form, ms)
	return true
}

func (c *conn) set(r replica.Request, key, value []byte) error {
	cl := c.newCall(replyOK, key)
	r.Key = cl.request.Key
	cl.request = r
	c.write(cl, value)
	return nil
}

func (c *conn) runSetEX(args [][]byte) error  { return c.setEX("setex", redis.Seconds, args) }
func (c *conn) runPSetEX(args [][]byte) error { return c.setEX("psetex", redis.Millis, args) }

func (c *conn) setEX(name string, form redis.TimeForm, args [][]byte) error {
	r := replica.Request{Op: replica.OpSet}
	if !c.setPositive(&r, name, form, args[1]) {
		return nil
	}
	return c.set(r, args[0], args[2])
}

func (c *conn) runExpire(args [][]byte) error   { return c.expire("expire", redis.Seconds, args) }
func (c *conn) runPExpire(args [][]byte) error  { return c.expire("pexpire", redis.Millis, args) }
func (c *conn) runExpireAt(args [][]byte) error { return c.expire("expireat", redis.SecondsAt, args) }
func (c *conn) runPExpireAt(args [][]byte) error {
	return c.expire("pexpireat", redis.MillisAt, args)
}

func (c *conn) expire(name string, form redis.TimeForm, args [][]byte) error {
	cmd := redisCommand(name)
	if len(args) > 2 {
		return c.runEvaluated(cmd, args)
	}
	now := c.s.opts.Now().Wall
	ms, errText := redis.ExpireTime(cmd.row, form, args[1], now)
	if errText != "" {
		c.replyError(errText)
		return nil
	}
	cl := c.newCall(replyNumber, args[0])
	cl.request.Op = replica.OpExpire
	setTime(&cl.request, form, ms)
	c.write(cl, nil)
	return nil
}

func (c *conn) runPersist(args [][]byte) error {
	cl := c.newCall(replyNumber, args[0])
	cl.request.Op = replica.OpExpire
	c.write(cl, nil)
	return nil
}

func (c *conn) runTTL(args [][]byte) error         { return c.readExpiry(replyTTL, args) }
func (c *conn) runPTTL(args [][]byte) error        { return c.readExpiry(replyPTTL, args) }
func (c *conn) runExpireTime(args [][]byte) error  { return c.readExpiry(replyExpireTime, args) }
func (c *conn) runPExpireTime(args [][]byte) error { return c.readExpiry(replyPExpireTime, args) }

func (c *conn) readExpiry(style replyStyle, args [][]byte) error {
	c.readPart(c.newCall(style, args[0]), replica.Nothing)
	return nil
}

// timeReplies says how the styles about an expiry count it.
var timeReplies = map[replyStyle]redis.TimeForm{
	replyTTL: redis.Seconds, replyPTTL: redis.Millis, replyExpireTime: redis.SecondsAt, replyPExpireTime: redis.MillisAt,
}

// writeExpiry answers the commands that read an expiry.
func (c *conn) writeExpiry(w *wire.Writer, style replyStyle, a *replica.Answer) {
	w.WriteInt(redis.ExpiryNumber(timeReplies[style], a.Status == replica.StatusOK, a.Expiry, c.s.opts.Now().Wall))
}
