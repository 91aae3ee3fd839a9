package redis

import (
	"math"
	"slices"
	"strconv"

	"viewring/internal/wire"
)

// The commands on the value of a key.

func value(s *state) wire.Value {
	if !s.present {
		return nilReply
	}
	return Bulk(s.value)
}

func evalGet(tx *Tx, _ *Command, args [][]byte) wire.Value { return value(tx.key(args[0])) }

func evalSet(tx *Tx, cmd *Command, args [][]byte) wire.Value {
	o, ok := ParseSet(args[2:])
	if !ok {
		return Fail(ErrSyntax)
	}
	s := tx.key(args[0])
	ms := int64(0)
	if o.Timed {
		var errText string
		if ms, errText = PositiveTime(cmd, o.Form, o.Time, tx.Now); errText != "" {
			return Fail(errText)
		}
	}
	reply, refused := okReply, nilReply
	if o.Get {
		reply = value(s)
		refused = reply
	}
	if o.NX && s.present || o.XX && !s.present {
		return refused
	}
	if o.KeepTTL {
		s.become(args[1])
	} else {
		s.set(args[1])
	}
	if o.Timed {
		tx.last(s, o.Form, ms)
	}
	return reply
}

func evalSetNX(tx *Tx, _ *Command, args [][]byte) wire.Value {
	s := tx.key(args[0])
	if s.present {
		return Number(0)
	}
	s.set(args[1])
	return Number(1)
}

func evalSetEX(form TimeForm) Evaluator {
	return func(tx *Tx, cmd *Command, args [][]byte) wire.Value {
		ms, errText := PositiveTime(cmd, form, args[1], tx.Now)
		if errText != "" {
			return Fail(errText)
		}
		s := tx.key(args[0])
		s.set(args[2])
		tx.last(s, form, ms)
		return okReply
	}
}

func evalGetSet(tx *Tx, _ *Command, args [][]byte) wire.Value {
	s := tx.key(args[0])
	reply := value(s)
	s.set(args[1])
	return reply
}

func evalGetDel(tx *Tx, _ *Command, args [][]byte) wire.Value {
	s := tx.key(args[0])
	reply := value(s)
	if s.present {
		s.remove()
	}
	return reply
}

func evalGetEX(tx *Tx, cmd *Command, args [][]byte) wire.Value {
	o, ok := parseOptions(args[1:], true)
	if !ok {
		return Fail(ErrSyntax)
	}
	s := tx.key(args[0])
	if !s.present {
		return nilReply
	}
	reply := value(s)
	switch {
	case o.Timed:
		ms, errText := PositiveTime(cmd, o.Form, o.Time, tx.Now)
		if errText != "" {
			return Fail(errText)
		}
		tx.expire(s, o.Form, ms)
	case o.Persist && s.expiry != 0:
		s.set(s.value)
	}
	return reply
}

func evalMGet(tx *Tx, _ *Command, args [][]byte) wire.Value {
	v := Array()
	for _, a := range args {
		v.Array = append(v.Array, value(tx.key(a)))
	}
	return v
}

func evalMSet(tx *Tx, cmd *Command, args [][]byte) wire.Value {
	if len(args)%2 != 0 {
		return Fail(ArityError(cmd))
	}
	for ; len(args) > 0; args = args[2:] {
		tx.key(args[0]).set(args[1])
	}
	return okReply
}

func evalMSetNX(tx *Tx, cmd *Command, args [][]byte) wire.Value {
	if len(args)%2 != 0 {
		return Fail(ArityError(cmd))
	}
	for i := 0; i < len(args); i += 2 {
		if tx.key(args[i]).present {
			return Number(0)
		}
	}
	evalMSet(tx, cmd, args)
	return Number(1)
}

func evalAppend(tx *Tx, _ *Command, args [][]byte) wire.Value {
	s := tx.key(args[0])
	size := len(s.value) + len(args[1])
	if fail, bad := tx.tooLong(size); bad {
		return fail
	}
	s.become(slices.Concat(s.value, args[1]))
	return Number(int64(size))
}

func evalStrlen(tx *Tx, _ *Command, args [][]byte) wire.Value {
	return Number(int64(len(tx.key(args[0]).value)))
}

func evalGetRange(tx *Tx, _ *Command, args [][]byte) wire.Value {
	start, end, ok := ParseRange(args[1], args[2])
	if !ok {
		return Fail(ErrNotInteger)
	}
	b := tx.key(args[0]).value
	from, to := Range(len(b), start, end)
	return Bulk(b[from:to])
}

// ParseRange reads the bounds of GETRANGE.
func ParseRange(from, to []byte) (start, end int64, ok bool) {
	start, ok1 := ParseInt(from)
	end, ok2 := ParseInt(to)
	return start, end, ok1 && ok2
}

// Range says which bytes of a value GETRANGE cuts out: from … to.
func Range(length int, start, end int64) (from, to int) {
	size := int64(length)
	if start < 0 && end < 0 && start > end {
		return 0, 0
	}
	if start < 0 {
		start = max(0, start+size)
	}
	if end < 0 {
		end = max(0, end+size)
	}
	end = min(end, size-1)
	if start > end {
		return 0, 0
	}
	return int(start), int(end) + 1
}

func evalSetRange(tx *Tx, _ *Command, args [][]byte) wire.Value {
	offset, ok := ParseInt(args[1])
	if !ok {
		return Fail(ErrNotInteger)
	}
	if offset < 0 {
		return Fail(errOffset)
	}
	s, part := tx.key(args[0]), args[2]
	if len(part) == 0 {
		return Number(int64(len(s.value)))
	}
	if offset > int64(tx.ValueBytesMax) {
		return Fail(errTooLong)
	}
	size := int(offset) + len(part)
	if fail, bad := tx.tooLong(size); bad {
		return fail
	}
	grown := make([]byte, max(size, len(s.value)))
	copy(grown, s.value)
	copy(grown[offset:], part)
	s.become(grown)
	return Number(int64(len(grown)))
}

func evalIncr(delta int64) Evaluator {
	return func(tx *Tx, _ *Command, args [][]byte) wire.Value { return increment(tx.key(args[0]), delta) }
}

func evalIncrBy(tx *Tx, _ *Command, args [][]byte) wire.Value {
	delta, errText := ParseDelta(args[1], false)
	if errText != "" {
		return Fail(errText)
	}
	return increment(tx.key(args[0]), delta)
}

func evalDecrBy(tx *Tx, _ *Command, args [][]byte) wire.Value {
	delta, errText := ParseDelta(args[1], true)
	if errText != "" {
		return Fail(errText)
	}
	return increment(tx.key(args[0]), delta)
}

// ParseDelta reads by how much INCRBY or, with down, DECRBY changes a value.
func ParseDelta(arg []byte, down bool) (delta int64, errText string) {
	n, ok := ParseInt(arg)
	switch {
	case !ok:
		return 0, ErrNotInteger
	case down && n == math.MinInt64:
		return 0, errDecrOverflow
	case down:
		n = -n
	}
	return n, ""
}

func increment(s *state, delta int64) wire.Value {
	n := int64(0)
	if s.present {
		var ok bool
		if n, ok = ParseInt(s.value); !ok {
			return Fail(ErrNotInteger)
		}
	}
	if delta > 0 && n > math.MaxInt64-delta || delta < 0 && n < math.MinInt64-delta {
		return Fail(ErrOverflow)
	}
	n += delta
	s.become(strconv.AppendInt(nil, n, 10))
	return Number(n)
}

func evalIncrByFloat(tx *Tx, _ *Command, args [][]byte) wire.Value {
	s := tx.key(args[0])
	base, ok := longDouble{}, true
	if s.present {
		base, ok = parseLongDouble(s.value)
	}
	delta, ok2 := parseLongDouble(args[1])
	if !ok || !ok2 {
		return Fail(errNotFloat)
	}
	sum, ok := base.plus(delta)
	if !ok {
		return Fail(errInfinite)
	}
	out := []byte(sum.String())
	s.become(out)
	return Bulk(out)
}
