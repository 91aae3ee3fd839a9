package redis

import (
	"math"
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

func readGet([][]byte) (Read, string) { return Read{Reply: showValue}, "" }

func showValue(f Found) wire.Value {
	if !f.Present {
		return nilReply
	}
	return Bulk(f.Value)
}

func writeSet(cmd *Command, args [][]byte, now func() int64) (w Write, errText string) {
	o, ok := parseOptions(args[2:], false)
	if !ok {
		return w, ErrSyntax
	}
	w = Write{Op: wire.DoSet, Value: args[1], KeepExpiry: o.KeepTTL, Timed: o.Timed, Form: o.Form, get: o.Get}
	switch {
	case o.NX:
		w.Cond = wire.DoIfAbsent
	case o.XX:
		w.Cond = wire.DoIfPresent
	}
	if o.Timed {
		w.Millis, errText = positiveTime(cmd, o.Form, o.Time, now())
	}
	return w, errText
}

func writeSetNX(_ *Command, args [][]byte, _ func() int64) (Write, string) {
	return Write{Op: wire.DoSet, Cond: wire.DoIfAbsent, Value: args[1], Reply: OutcomeCount}, ""
}

func writeSetEX(form TimeForm) Writer {
	return func(cmd *Command, args [][]byte, now func() int64) (w Write, errText string) {
		w = Write{Op: wire.DoSet, Value: args[2], Timed: true, Form: form}
		w.Millis, errText = positiveTime(cmd, form, args[1], now())
		return w, errText
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
		ms, errText := positiveTime(cmd, o.Form, o.Time, tx.Now)
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

func writeAppend(_ *Command, args [][]byte, _ func() int64) (Write, string) {
	return Write{Op: wire.DoAppend, Value: args[1], Reply: OutcomeNumber}, ""
}

func readStrlen([][]byte) (Read, string) {
	return Read{Cut: nothing, Reply: func(f Found) wire.Value { return Number(int64(f.Length)) }}, ""
}

func readGetRange(args [][]byte) (Read, string) {
	start, ok := ParseInt(args[1])
	end, ok2 := ParseInt(args[2])
	if !ok || !ok2 {
		return Read{}, ErrNotInteger
	}
	return Read{
		Cut:   func(length int) (from, to int) { return span(length, start, end) },
		Reply: func(f Found) wire.Value { return Bulk(f.Value) },
	}, ""
}

// span says which bytes of a value GETRANGE cuts out: from … to.
func span(length int, start, end int64) (from, to int) {
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
	size := max(int(offset)+len(part), len(s.value))
	if fail, bad := tx.tooLong(s, size); bad {
		return fail
	}
	grown := make([]byte, size)
	copy(grown, s.value)
	copy(grown[offset:], part)
	s.become(grown)
	return Number(int64(len(grown)))
}

func writeIncr(delta int64) Writer {
	return func(*Command, [][]byte, func() int64) (Write, string) {
		return Write{Op: wire.DoIncr, Delta: delta, Reply: OutcomeNumber}, ""
	}
}

func writeIncrBy(_ *Command, args [][]byte, _ func() int64) (Write, string) {
	n, ok := ParseInt(args[1])
	if !ok {
		return Write{}, ErrNotInteger
	}
	return Write{Op: wire.DoIncr, Delta: n, Reply: OutcomeNumber}, ""
}

func writeDecrBy(_ *Command, args [][]byte, _ func() int64) (Write, string) {
	n, ok := ParseInt(args[1])
	switch {
	case !ok:
		return Write{}, ErrNotInteger
	case n == math.MinInt64:
		return Write{}, errDecrOverflow
	}
	return Write{Op: wire.DoIncr, Delta: -n, Reply: OutcomeNumber}, ""
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
