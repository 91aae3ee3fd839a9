package redis

import (
	"fmt"
	"slices"
	"strings"

	"viewring/internal/wire"
)

// Client-side caching: what a client has said of what it keeps.

// Tracking is what CLIENT TRACKING has made of a session. The zero value is off.
type Tracking struct {
	On       bool
	BCast    bool // it is told of all keys that begin with one of Prefixes, and else of those that it has read
	OptIn    bool // it keeps what CLIENT CACHING YES was said before
	OptOut   bool // it keeps what CLIENT CACHING NO was not said before
	NoLoop   bool
	Redirect int64    // the id of the session that is told; 0: this one
	Prefixes []string // sorted; of BCast one at least

	marked bool // CLIENT CACHING was said, and no command has followed
}

// Tracking returns what CLIENT TRACKING has made of the session.
func (s *Session) Tracking() Tracking { return s.tracking }

// Keeps reports whether the client may keep what the next command reads, and is to be told
// when the keys change.
func (s *Session) Keeps() bool {
	t := &s.tracking
	switch {
	case !t.On || t.BCast:
		return false
	case t.OptIn:
		return t.marked
	case t.OptOut:
		return !t.marked
	}
	return true
}

// Followed says that a command was carried out, or refused (nil): what CLIENT CACHING says holds
// for the next one, or for all of a transaction.
func (s *Session) Followed(cmd *Command) {
	if cmd == nil || !strings.HasPrefix(cmd.Name, "client|") {
		s.tracking.marked = false
	}
}

// Track is CLIENT TRACKING; exists tells whether there is a session of an id. The tracking is
// that of the session when errText is "".
func (s *Session) Track(args [][]byte, exists func(id int64) bool) (errText string) {
	t, errText := parseTracking(args[1:], exists)
	if errText != "" {
		return errText
	}
	switch strings.ToUpper(string(args[0])) {
	case "OFF":
		t = Tracking{}
	case "ON":
		if errText = t.tooMany(&s.tracking); errText == "" {
			errText = t.follows(&s.tracking)
		}
		if errText != "" {
			return errText
		}
		t.On = true
		if t.BCast {
			if len(t.Prefixes) == 0 {
				t.Prefixes = []string{""}
			}
			t.Prefixes = append(t.Prefixes, s.tracking.Prefixes...)
			slices.Sort(t.Prefixes)
			t.Prefixes = slices.Compact(t.Prefixes)
		}
	default:
		return ErrSyntax
	}
	s.track(t)
	return ""
}

func (s *Session) track(t Tracking) {
	s.tell(func() {
		s.tracking = t
		s.broken.Store(false)
	})
}

// Untrack is CLIENT TRACKING OFF.
func (s *Session) Untrack() { s.track(Tracking{}) }

// RedirectionBroke says that the session that was to be told is gone. Any goroutine may call it.
func (s *Session) RedirectionBroke() { s.broken.Store(true) }

// ID is that of CLIENT ID.
func (s *Session) ID() int64 { return s.id }

// parseTracking reads the options of CLIENT TRACKING.
func parseTracking(args [][]byte, exists func(id int64) bool) (t Tracking, errText string) {
	for i := 0; i < len(args); i++ {
		more := i+1 < len(args)
		switch option := strings.ToUpper(string(args[i])); {
		case option == "REDIRECT" && more:
			i++
			id, ok := ParseInt(args[i])
			switch {
			case t.Redirect != 0:
				return t, "ERR A client can only redirect to a single other client"
			case !ok:
				return t, ErrNotInteger
			case !exists(id):
				return t, "ERR The client ID you want redirect to does not exist"
			}
			t.Redirect = id
		case option == "BCAST":
			t.BCast = true
		case option == "OPTIN":
			t.OptIn = true
		case option == "OPTOUT":
			t.OptOut = true
		case option == "NOLOOP":
			t.NoLoop = true
		case option == "PREFIX" && more:
			i++
			t.Prefixes = append(t.Prefixes, string(args[i]))
		default:
			return t, ErrSyntax
		}
	}
	return t, ""
}

// What a session may have of prefixes: how many, and bytes of all.
const (
	prefixesMax    = 1024
	prefixBytesMax = 256 << 10
)

// tooMany refuses more prefixes than a session may have, with those of before.
func (t *Tracking) tooMany(before *Tracking) (errText string) {
	bytes := 0
	for _, p := range slices.Concat(t.Prefixes, before.Prefixes) {
		bytes += len(p)
	}
	if len(t.Prefixes)+len(before.Prefixes) > prefixesMax || bytes > prefixBytesMax {
		return fmt.Sprintf("ERR a client has at most %d prefixes, of %d bytes together", prefixesMax, prefixBytesMax)
	}
	return ""
}

// follows judges whether a tracking makes sense, by itself and after another one.
func (t *Tracking) follows(before *Tracking) (errText string) {
	const switched = "ERR You can't switch %s mode %sbefore disabling tracking for this client, and then re-enabling it with a different mode."
	switch {
	case len(t.Prefixes) > 0 && !t.BCast:
		return "ERR PREFIX option requires BCAST mode to be enabled"
	case before.On && t.BCast != before.BCast:
		return fmt.Sprintf(switched, "BCAST", "on/off ")
	case t.BCast && (t.OptIn || t.OptOut):
		return "ERR OPTIN and OPTOUT are not compatible with BCAST"
	case t.OptIn && t.OptOut:
		return "ERR You can't specify both OPTIN mode and OPTOUT mode"
	case t.OptIn && before.OptOut || t.OptOut && before.OptIn:
		return fmt.Sprintf(switched, "OPTIN/OPTOUT", "")
	}
	for i, p := range t.Prefixes {
		for _, q := range before.Prefixes {
			if overlap(p, q) {
				return fmt.Sprintf(overlaps, p, "an existing", q)
			}
		}
		for _, q := range t.Prefixes[i+1:] {
			if overlap(p, q) {
				return fmt.Sprintf(overlaps, p, "another provided", q)
			}
		}
	}
	return ""
}

const overlaps = "ERR Prefix '%s' overlaps with %s prefix '%s'. Prefixes for a single client must not overlap."

func overlap(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// talkClientCaching is CLIENT CACHING YES|NO.
func talkClientCaching(s *Session, args [][]byte) wire.Value {
	t := &s.tracking
	if !t.On {
		return Fail("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
	}
	switch option := strings.ToUpper(string(args[0])); {
	case option == "YES" && !t.OptIn:
		return Fail("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
	case option == "NO" && !t.OptOut:
		return Fail("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
	case option != "YES" && option != "NO":
		return Fail(ErrSyntax)
	}
	t.marked = true
	return OK()
}

func talkClientGetRedir(s *Session, _ [][]byte) wire.Value {
	if !s.tracking.On {
		return Number(-1)
	}
	return Number(s.tracking.Redirect)
}

func talkClientTrackingInfo(s *Session, _ [][]byte) wire.Value {
	t := &s.tracking
	flags, redirect, prefixes := set(), int64(-1), Array()
	add := func(is bool, name string) {
		if is {
			flags.Array = append(flags.Array, Text(name))
		}
	}
	add(!t.On, "off")
	if t.On {
		redirect = t.Redirect
		add(true, "on")
		add(t.BCast, "bcast")
		add(t.OptIn, "optin")
		add(t.OptIn && t.marked, "caching-yes")
		add(t.OptOut, "optout")
		add(t.OptOut && t.marked, "caching-no")
		add(t.NoLoop, "noloop")
		add(s.broken.Load(), "broken_redirect")
		for _, p := range t.Prefixes {
			prefixes.Array = append(prefixes.Array, Text(p))
		}
	}
	return Map(Text("flags"), flags, Text("redirect"), Number(redirect), Text("prefixes"), prefixes)
}

// flags are those of CLIENT LIST.
func (s *Session) flags() string {
	var f string
	for _, flag := range []struct {
		is   bool
		name string
	}{{s.Subscriptions() > 0, "P"}, {s.tracking.On, "t"}, {s.broken.Load(), "R"}, {s.tracking.BCast, "B"}} {
		if flag.is {
			f += flag.name
		}
	}
	if f == "" {
		return "N"
	}
	return f
}
