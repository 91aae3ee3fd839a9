package redis

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// TimeForm says how an argument counts time.
type TimeForm struct {
	PerUnit  int64 // milliseconds
	Absolute bool  // since 1970, and not from now
}

// The forms of the commands.
var (
	Seconds   = TimeForm{1000, false}
	Millis    = TimeForm{1, false}
	SecondsAt = TimeForm{1000, true}
	MillisAt  = TimeForm{1, true}
)

// ParseInt reads a decimal as Redis does: no sign +, no zero in front.
func ParseInt(b []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || b[0] == '+' || b[0] == '0' && len(b) > 1 || b[0] == '-' && b[1] == '0' {
		return 0, false
	}
	return n, true
}

// Millis converts a count of units; not ok when that leaves 64 bits, or when its sum
// with now would.
func (f TimeForm) Millis(n, now int64) (ms int64, ok bool) {
	if n > math.MaxInt64/f.PerUnit || n < math.MinInt64/f.PerUnit {
		return 0, false
	}
	n *= f.PerUnit
	return n, f.Absolute || n <= math.MaxInt64-now
}

// at is the unix time that a count of milliseconds stands for.
func (f TimeForm) at(ms, now int64) int64 {
	if f.Absolute {
		return ms
	}
	return now + ms
}

// setOptions are what follows key and value of a SET, or the key of a GETEX.
type setOptions struct {
	NX, XX, Get, KeepTTL, Persist bool

	Timed bool
	Form  TimeForm
	Time  []byte // its argument
}

// parseOptions reads the options of SET or, with getex, of GETEX; they may be none. ok is
// false on a syntax error.
func parseOptions(args [][]byte, getex bool) (o setOptions, ok bool) {
	for i := 0; i < len(args); i++ {
		option := strings.ToUpper(string(args[i]))
		form, timed := timeForms[option]
		switch {
		case option == "NX" && !o.XX && !getex:
			o.NX = true
		case option == "XX" && !o.NX && !getex:
			o.XX = true
		case option == "GET" && !getex:
			o.Get = true
		case option == "KEEPTTL" && !o.Timed && !getex:
			o.KeepTTL = true
		case option == "PERSIST" && !o.Timed && getex:
			o.Persist = true
		case timed && !o.KeepTTL && !o.Persist && (!o.Timed || o.Form == form) && i+1 < len(args):
			i++
			o.Timed, o.Form, o.Time = true, form, args[i]
		default:
			return o, false
		}
	}
	return o, true
}

var timeForms = map[string]TimeForm{"EX": Seconds, "PX": Millis, "EXAT": SecondsAt, "PXAT": MillisAt}

// positiveTime reads a time that must be above zero: milliseconds, from now or since
// 1970. errText is "" or the error reply.
func positiveTime(cmd *Command, form TimeForm, arg []byte, now int64) (ms int64, errText string) {
	n, ok := ParseInt(arg)
	if !ok {
		return 0, ErrNotInteger
	}
	if ms, ok = form.Millis(n, now); !ok || n <= 0 {
		return 0, expireTimeError(cmd)
	}
	return ms, ""
}

// ExpireOptions are what follows key and time of EXPIRE and its like.
type ExpireOptions struct{ NX, XX, GT, LT bool }

// parseExpire reads the options of EXPIRE; errText is "" or the error reply.
func parseExpire(args [][]byte) (o ExpireOptions, errText string) {
	for _, a := range args {
		switch strings.ToUpper(string(a)) {
		case "NX":
			o.NX = true
		case "XX":
			o.XX = true
		case "GT":
			o.GT = true
		case "LT":
			o.LT = true
		default:
			return o, "ERR Unsupported option " + cString(a, len(a))
		}
	}
	switch {
	case o.NX && (o.XX || o.GT || o.LT):
		return o, "ERR NX and XX, GT or LT options at the same time are not compatible"
	case o.GT && o.LT:
		return o, "ERR GT and LT options at the same time are not compatible"
	}
	return o, ""
}

// Conditional reports whether any option was given.
func (o ExpireOptions) Conditional() bool { return o.NX || o.XX || o.GT || o.LT }

// lets reports whether the options let an expiry become at, where it is present now
// (0 = never).
func (o ExpireOptions) lets(present, at int64) bool {
	return !(o.NX && present != 0 ||
		o.XX && present == 0 ||
		o.GT && (present == 0 || at <= present) ||
		o.LT && present != 0 && at >= present)
}

// expireTime reads the time of EXPIRE and its like: milliseconds, from now or since
// 1970. errText is "" or the error reply.
func expireTime(cmd *Command, form TimeForm, arg []byte, now int64) (ms int64, errText string) {
	n, ok := ParseInt(arg)
	if !ok {
		return 0, ErrNotInteger
	}
	if ms, ok = form.Millis(n, now); !ok {
		return 0, expireTimeError(cmd)
	}
	return ms, ""
}

// expiryNumber is what TTL and its like reply: −2 for an absent key, −1 for one that
// stays, else its expiry (0 = never) in form.
func expiryNumber(form TimeForm, present bool, expiry, now int64) int64 {
	switch {
	case !present:
		return -2
	case expiry == 0:
		return -1
	case form.Absolute:
		return rounded(expiry, form.PerUnit)
	}
	return rounded(max(0, expiry-now), form.PerUnit)
}

// rounded divides ms by the unit as Redis does, half a second up.
func rounded(ms, unit int64) int64 {
	return ms/unit + (ms%unit+unit/2)/unit
}

// ParseCursor reads the cursor of SCAN as C's strtoul does.
func ParseCursor(b []byte) (cursor uint64, ok bool) {
	s := string(b)
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	cursor, err := strconv.ParseUint(s, 10, 64)
	if negative {
		cursor = -cursor
	}
	return cursor, err == nil
}

// waitMax bounds WAIT where its client does not: nothing else of its is read meanwhile, not
// even that it has gone.
const waitMax = time.Minute

// ParseWait reads the arguments of WAIT: for how many copies, and how long at most.
// errText is "" or the error reply.
func ParseWait(args [][]byte) (copies int64, limit time.Duration, errText string) {
	copies, ok := ParseInt(args[0])
	timeout, ok2 := ParseInt(args[1])
	switch {
	case !ok:
		return 0, 0, ErrNotInteger
	case !ok2:
		return 0, 0, "ERR timeout is not an integer or out of range"
	case timeout < 0:
		return 0, 0, "ERR timeout is negative"
	case timeout == 0:
		return copies, waitMax, ""
	}
	return copies, time.Duration(min(timeout, waitMax.Milliseconds())) * time.Millisecond, ""
}
