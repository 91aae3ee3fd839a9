package server

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// The commands about time to live, with Redis' replies. Times that are relative
// are counted by the primary when it takes the request up.

const syntaxError = wire.CodeErr + " syntax error"

// expiryMax keeps sums of times within 64 bits; it is some 146 million years.
const expiryMax = math.MaxInt64 / 2

// timeForm says how a command counts time.
type timeForm struct {
	perUnit  int64 // ms
	absolute bool
}

var timeForms = map[string]timeForm{
	"EX": {1000, false}, "PX": {1, false}, "EXAT": {1000, true}, "PXAT": {1, true},
}

// parseTime reads a time in form; the error text is Redis'.
func parseTime(arg []byte, form timeForm, command string, positive bool) (ms int64, errText string) {
	n, err := strconv.ParseInt(string(arg), 10, 64)
	if err != nil {
		return 0, wire.CodeErr + " value is not an integer or out of range"
	}
	if limit := expiryMax / form.perUnit; n > limit || n < -limit || positive && n <= 0 {
		return 0, fmt.Sprintf("%s invalid expire time in '%s' command", wire.CodeErr, command)
	}
	return n * form.perUnit, ""
}

// setTime makes a request expire: at ms, or ms from now. What is past makes the
// key one that is expired at once.
func setTime(r *replica.Request, form timeForm, ms int64) {
	switch {
	case form.absolute:
		r.Expiry = max(1, ms)
	case ms == 0:
		r.TTL = -1 // 0 would stand for none
	default:
		r.TTL = ms
	}
}

// runSet is SET with NX, XX, EX, PX, EXAT, PXAT and KEEPTTL.
func (c *conn) runSet(args [][]byte) error {
	r := replica.Request{Op: replica.OpSet}
	timed := false
	for options := args[2:]; len(options) > 0; options = options[1:] {
		option := strings.ToUpper(string(options[0]))
		form, isTime := timeForms[option]
		switch {
		case option == "NX" && r.Cond == replica.CondNone:
			r.Cond = replica.CondAbsent
		case option == "XX" && r.Cond == replica.CondNone:
			r.Cond = replica.CondPresent
		case option == "KEEPTTL" && !timed:
			r.KeepExpiry, timed = true, true
		case isTime && !timed && len(options) > 1:
			ms, errText := parseTime(options[1], form, "set", true)
			if errText != "" {
				c.replyError(errText)
				return nil
			}
			setTime(&r, form, ms)
			timed, options = true, options[1:]
		default:
			c.replyError(syntaxError)
			return nil
		}
	}
	cl := c.newCall(replyOK, args[0])
	r.Key = cl.request.Key
	cl.request = r
	c.write(cl, args[1])
	return nil
}

func (c *conn) runExpire(args [][]byte) error   { return c.expire("expire", timeForms["EX"], args) }
func (c *conn) runPExpire(args [][]byte) error  { return c.expire("pexpire", timeForms["PX"], args) }
func (c *conn) runExpireAt(args [][]byte) error { return c.expire("expireat", timeForms["EXAT"], args) }
func (c *conn) runPExpireAt(args [][]byte) error {
	return c.expire("pexpireat", timeForms["PXAT"], args)
}

func (c *conn) expire(command string, form timeForm, args [][]byte) error {
	if len(args) > 2 { // Redis has NX, XX, GT and LT
		c.replyError(fmt.Sprintf("%s Unsupported option %s", wire.CodeErr, bytes.Trim([]byte(quote(args[2])), "'")))
		return nil
	}
	ms, errText := parseTime(args[1], form, command, false)
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
	c.read(c.newCall(style, args[0]))
	return nil
}

// expiryNumber is what the commands that read an expiry answer: -2 for an absent
// key, -1 for one that stays.
func expiryNumber(style replyStyle, a *replica.Answer, wall int64) int64 {
	switch {
	case a.Status != replica.StatusOK:
		return -2
	case a.Expiry == 0:
		return -1
	}
	left := max(0, a.Expiry-wall)
	switch style {
	case replyTTL:
		return (left + 500) / 1000
	case replyExpireTime:
		return (a.Expiry + 500) / 1000
	case replyPExpireTime:
		return a.Expiry
	}
	return left
}
