package redis

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wire"
)

// Version is the version of Redis whose replies these are.
const Version = "7.0.15"

// Front is what Redis clients see of a server or gateway besides the keys: what it is,
// and who is connected to it. Its methods may be called from any goroutine, its fields are
// not changed once it is used.
type Front struct {
	Mode     string                                            // ModeCluster or ModeStandalone
	Auth     func(from string, args [][]byte) (errText string) // judges the arguments of AUTH of a client at an address
	Password bool                                              // clients must say one
	NoAuth   string                                            // the error reply to HELLO of a client that has not
	Now      func() time.Time
	Started  time.Time
	System   string // operating system and processor
	Process  int
	Port     int64
	Monitor  *Monitor // of the commands; SLOWLOG and LATENCY need one

	mu struct {
		sync.Mutex
		last     int64 // id of a session
		sessions map[*Session]struct{}
	}
}

// The modes of a Front: a part of the keys is here, or all of them are.
const (
	ModeCluster    = "cluster"
	ModeStandalone = "standalone"
)

// Session is what a Front and one client have told each other. All but Leave is for the
// one goroutine that reads the client's commands.
type Session struct {
	front           *Front
	id              int64
	since           time.Time
	addr, listensOn string
	trusted         bool // has said the password, or need not

	// Others list these: changed under the Front's mutex.
	proto                 int // of RESP: 2 or 3
	name, libName, libVer string
	subs                  subscriptions
	tracking              Tracking
	broken                atomic.Bool // whom it redirects to is gone
}

// Join begins a session with a client at addr, which came in at listensOn.
func (f *Front) Join(addr, listensOn string) *Session {
	s := &Session{front: f, since: f.Now(), addr: addr, listensOn: listensOn, proto: 2, trusted: !f.Password}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.last++
	s.id = f.mu.last
	if f.mu.sessions == nil {
		f.mu.sessions = make(map[*Session]struct{})
	}
	f.mu.sessions[s] = struct{}{}
	return s
}

// Leave ends a session.
func (s *Session) Leave() {
	s.front.mu.Lock()
	defer s.front.mu.Unlock()
	delete(s.front.mu.sessions, s)
}

// Name is what the client calls itself. Any goroutine may ask.
func (s *Session) Name() string {
	s.front.mu.Lock()
	defer s.front.mu.Unlock()
	return s.name
}

// Trusted reports whether the client has said the password, or need not.
func (s *Session) Trusted() bool { return s.trusted }

// RESP3 reports whether replies are in version 3 of the protocol.
func (s *Session) RESP3() bool { return s.proto == 3 }

// Reset is RESET: the session is as it was at first, but for what its library said.
func (s *Session) Reset() wire.Value {
	s.trusted = !s.front.Password
	s.tell(func() { s.name, s.proto = "", 2 })
	return Simple("RESET")
}

// tell changes what others see.
func (s *Session) tell(change func()) {
	s.front.mu.Lock()
	defer s.front.mu.Unlock()
	change()
}

// String is a line of CLIENT LIST: of Redis's fields those that mean something here. The
// caller is the session's goroutine or holds the Front's mutex.
func (s *Session) String() string {
	return fmt.Sprintf("id=%d addr=%s laddr=%s name=%s age=%d flags=%s db=0 sub=%d psub=%d ssub=0 user=default resp=%d lib-name=%s lib-ver=%s\n",
		s.id, s.addr, s.listensOn, s.name, int(s.front.Now().Sub(s.since).Seconds()), s.flags(), s.subs.count[OneChannel], s.subs.count[Pattern],
		s.proto, s.libName, s.libVer)
}

// Talk is what a command does to a session and answers, whatever the keys are. args are
// without the command's name, their number has been judged.
type Talk func(s *Session, args [][]byte) wire.Value

func talkOK(*Session, [][]byte) wire.Value { return OK() }

func talkPing(s *Session, args [][]byte) wire.Value {
	switch n := len(args); {
	case n <= 1 && s.Restricted():
		return Array(Text("pong"), Bulk(slices.Concat(args...)))
	case n == 0:
		return Simple("PONG")
	case n == 1:
		return talkEcho(s, args)
	}
	return Fail(ArityError(Lookup("ping")))
}

func talkEcho(_ *Session, args [][]byte) wire.Value { return Bulk(slices.Clone(args[0])) }

func talkTime(s *Session, _ [][]byte) wire.Value {
	now := s.front.Now().UnixMicro()
	return Array(Text(strconv.FormatInt(now/1e6, 10)), Text(strconv.FormatInt(now%1e6, 10)))
}

func talkSelect(s *Session, args [][]byte) wire.Value {
	switch n, ok := ParseInt(args[0]); {
	case !ok:
		return Fail(ErrNotInteger)
	case n != 0 && s.front.Mode == ModeCluster:
		return Fail("ERR SELECT is not allowed in cluster mode")
	case n != 0:
		return Fail("ERR DB index is out of range")
	}
	return OK()
}

// logIn tries a password, or a user and a password.
func (s *Session) logIn(args [][]byte) (errText string) {
	if errText = s.front.Auth(s.addr, args); errText == "" {
		s.trusted = true
	}
	return errText
}

func talkAuth(s *Session, args [][]byte) wire.Value {
	if errText := s.logIn(args); errText != "" {
		return Fail(errText)
	}
	return OK()
}

// hello is what HELLO asks for.
type hello struct {
	proto int      // 0: as it is
	login [][]byte // user and password; nil: none
	name  []byte   // nil: as it is
}

func parseHello(args [][]byte) (h hello, errText string) {
	if len(args) == 0 {
		return h, ""
	}
	version, ok := ParseInt(args[0])
	switch {
	case !ok:
		return h, "ERR Protocol version is not an integer or out of range"
	case version != 2 && version != 3:
		return h, "NOPROTO unsupported protocol version"
	}
	h.proto = int(version)
	for args = args[1:]; len(args) > 0; {
		switch option := strings.ToUpper(string(args[0])); {
		case option == "AUTH" && len(args) > 2:
			h.login = args[1:3]
			args = args[3:]
		case option == "SETNAME" && len(args) > 1:
			if !plain(args[1]) {
				return h, badName
			}
			h.name = args[1]
			args = args[2:]
		default:
			return h, fmt.Sprintf("ERR Syntax error in HELLO option '%s'", args[0])
		}
	}
	return h, ""
}

// talkHello is HELLO [2|3 [AUTH user password] [SETNAME name]].
func talkHello(s *Session, args [][]byte) wire.Value {
	h, errText := parseHello(args)
	if errText == "" && h.login != nil {
		errText = s.logIn(h.login)
	}
	if errText == "" && !s.trusted {
		errText = s.front.NoAuth
	}
	if errText != "" {
		return Fail(errText)
	}
	s.tell(func() {
		s.proto = cmp.Or(h.proto, s.proto)
		if h.name != nil {
			s.name = string(h.name)
		}
	})
	return Map(
		Text("server"), Text("redis"),
		Text("version"), Text(Version),
		Text("proto"), Number(int64(s.proto)),
		Text("id"), Number(s.id),
		Text("mode"), Text(s.front.Mode),
		Text("role"), Text("master"),
		Text("modules"), Array())
}

const badName = "ERR Client names cannot contain spaces, newlines or special characters."

// plain reports whether a client or a library may be called so.
func plain(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c < '!' || c > '~' })
}

func talkClientID(s *Session, _ [][]byte) wire.Value { return Number(s.id) }

func talkClientGetName(s *Session, _ [][]byte) wire.Value {
	if s.name == "" {
		return Nil()
	}
	return Text(s.name)
}

func talkClientSetName(s *Session, args [][]byte) wire.Value {
	if !plain(args[0]) {
		return Fail(badName)
	}
	s.tell(func() { s.name = string(args[0]) })
	return OK()
}

// talkClientSetInfo is of Redis 7.2, whose clients send it before anything else.
func talkClientSetInfo(s *Session, args [][]byte) wire.Value {
	option := strings.ToLower(string(args[0]))
	if option != "lib-name" && option != "lib-ver" {
		return Fail(fmt.Sprintf("ERR Unrecognized option '%s'", args[0]))
	}
	if !plain(args[1]) {
		return Fail(fmt.Sprintf("ERR %s cannot contain spaces, newlines or special characters.", option))
	}
	s.tell(func() {
		if option == "lib-name" {
			s.libName = string(args[1])
		} else {
			s.libVer = string(args[1])
		}
	})
	return OK()
}

func talkClientInfo(s *Session, _ [][]byte) wire.Value { return Verbatim(s.String()) }

// talkClientList is CLIENT LIST [TYPE type | ID id …].
func talkClientList(s *Session, args [][]byte) wire.Value {
	wanted := func(*Session) bool { return true }
	switch option := strings.ToUpper(string(slices.Concat(args[:min(1, len(args))]...))); {
	case len(args) == 0:
	case option == "TYPE" && len(args) == 2:
		switch strings.ToLower(string(args[1])) {
		case "normal":
			wanted = func(o *Session) bool { return o.Subscriptions() == 0 }
		case "pubsub":
			wanted = func(o *Session) bool { return o.Subscriptions() > 0 }
		case "master", "replica", "slave":
			wanted = func(*Session) bool { return false }
		default:
			return Fail(fmt.Sprintf("ERR Unknown client type '%s'", args[1]))
		}
	case option == "ID" && len(args) > 1:
		ids := make(map[int64]bool)
		for _, a := range args[1:] {
			id, ok := ParseInt(a)
			if !ok {
				return Fail("ERR Invalid client ID")
			}
			ids[id] = true
		}
		wanted = func(o *Session) bool { return ids[o.id] }
	default:
		return Fail(ErrSyntax)
	}
	return Verbatim(s.front.list(wanted))
}

// list is the lines of some sessions, by id.
func (f *Front) list(wanted func(*Session) bool) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var some []*Session
	for s := range f.mu.sessions {
		if wanted(s) {
			some = append(some, s)
		}
	}
	slices.SortFunc(some, func(a, b *Session) int { return cmp.Compare(a.id, b.id) })
	var b strings.Builder
	for _, s := range some {
		b.WriteString(s.String())
	}
	return b.String()
}

// talkOnOff is CLIENT NO-EVICT and NO-TOUCH: nothing is ever evicted here.
func talkOnOff(_ *Session, args [][]byte) wire.Value {
	if s := strings.ToLower(string(args[0])); s != "on" && s != "off" {
		return Fail(ErrSyntax)
	}
	return OK()
}
