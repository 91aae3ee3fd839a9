package server

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
	"viewring/server/replica"
)

// session is what a connection's reading goroutine remembers from command to command.
type session struct {
	guarded bool // not trusted, or after MULTI: runGuarded looks at each command
	trusted bool // has said the password, or need not
	late    bool // came when there were too many: only for other servers
	multi   *multi
	watched map[string]replica.Version // keys of one slot, as WATCH found them
	wrote   []uint64                   // bits: the partitions that were written to
	within  bool                       // EXEC carries out commands: none may wait
	held    int64                      // bytes of the reply being made that take has counted
}

// reset is how a session begins.
func (n *session) reset(s *Server) {
	n.trusted = !s.opts.Secure.WantsPassword()
	n.multi, n.watched = nil, nil
	n.guard()
}

func (n *session) guard() { n.guarded = !n.trusted || n.multi != nil || n.late }

// takeHeld hands over the bytes that the reply just made holds.
func (n *session) takeHeld() int64 {
	held := n.held
	n.held = 0
	return held
}

// noteWrite remembers a partition for WAIT.
func (n *session) noteWrite(p ring.PartitionID, partitions int) {
	if n.wrote == nil {
		n.wrote = make([]uint64, (partitions+63)/64)
	}
	n.wrote[p/64] |= 1 << (p % 64)
}

// clients lists the connections for CLIENT LIST.
type clients struct {
	last atomic.Int64
	mu   struct {
		sync.Mutex
		all map[*conn]*clientInfo
	}
}

// clientInfo is what others see of a connection. Guarded by the clients' mutex.
type clientInfo struct {
	id              int64
	since           time.Time
	name            string
	libName, libVer string
	proto           int
	addr, listensOn string
}

func (k *clients) add(c *conn) {
	info := &clientInfo{id: k.last.Add(1), since: time.Now(), proto: 2,
		addr: c.nc.RemoteAddr().String(), listensOn: c.nc.LocalAddr().String()}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mu.all == nil {
		k.mu.all = make(map[*conn]*clientInfo)
	}
	k.mu.all[c] = info
}

func (k *clients) remove(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.mu.all, c)
}

// see calls fn with what is known of a connection; fn may change it.
func (k *clients) see(c *conn, fn func(*clientInfo)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fn(k.mu.all[c])
}

// list returns a copy of all, by id.
func (k *clients) list() []clientInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]clientInfo, 0, len(k.mu.all))
	for _, info := range k.mu.all {
		all = append(all, *info)
	}
	slices.SortFunc(all, func(a, b clientInfo) int { return cmp.Compare(a.id, b.id) })
	return all
}

// String is a line of CLIENT LIST: of Redis's fields those that a server keeps.
func (i *clientInfo) String() string {
	return fmt.Sprintf("id=%d addr=%s laddr=%s name=%s age=%d flags=N db=0 sub=0 psub=0 ssub=0 user=default resp=%d lib-name=%s lib-ver=%s\n",
		i.id, i.addr, i.listensOn, i.name, int(time.Since(i.since).Seconds()), i.proto, i.libName, i.libVer)
}

// logIn tries a password, or a user and a password.
func (c *conn) logIn(args [][]byte) (errText string) {
	if errText = c.s.opts.Secure.Auth(args); errText == "" {
		c.session.trusted = true
		c.session.guard()
	}
	return errText
}

func (c *conn) sayAuth(args [][]byte) wire.Value {
	if errText := c.logIn(args); errText != "" {
		return redis.Fail(errText)
	}
	return redis.OK()
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
	version, ok := redis.ParseInt(args[0])
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
			if !plainName(args[1]) {
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

func (c *conn) runHello(args [][]byte) error {
	h, errText := parseHello(args)
	if errText == "" && h.login != nil {
		errText = c.logIn(h.login)
	}
	if errText == "" && !c.session.trusted {
		errText = secure.HelloNoAuth
	}
	if errText != "" {
		c.replyError(errText)
		return nil
	}
	var info clientInfo
	c.s.clients.see(c, func(i *clientInfo) {
		if h.proto != 0 {
			i.proto = h.proto
		}
		if h.name != nil {
			i.name = string(h.name)
		}
		info = *i
	})
	c.reply(func(w *wire.Writer) {
		w.SetRESP3(info.proto == 3)
		w.WriteValue(redis.Map(
			redis.Text("server"), redis.Text("redis"),
			redis.Text("version"), redis.Text(redisVersion),
			redis.Text("proto"), redis.Number(int64(info.proto)),
			redis.Text("id"), redis.Number(info.id),
			redis.Text("mode"), redis.Text("cluster"),
			redis.Text("role"), redis.Text("master"),
			redis.Text("modules"), redis.Array()))
	})
	return nil
}

func (c *conn) runReset([][]byte) error {
	c.discard()
	c.session.reset(c.s)
	c.s.clients.see(c, func(i *clientInfo) { i.name, i.proto = "", 2 })
	c.reply(func(w *wire.Writer) {
		w.SetRESP3(false)
		w.WriteSimple("RESET")
	})
	return nil
}

func (c *conn) runQuit([][]byte) error {
	c.replyOK()
	return errQuit
}

func (c *conn) sayOK([][]byte) wire.Value { return redis.OK() }

func (c *conn) sayPing(args [][]byte) wire.Value {
	switch len(args) {
	case 0:
		return redis.Simple("PONG")
	case 1:
		return c.sayEcho(args)
	}
	return redis.Fail(redis.ArityError(redis.Lookup("ping")))
}

func (c *conn) sayEcho(args [][]byte) wire.Value { return redis.Bulk(bytes.Clone(args[0])) }

func (c *conn) saySelect(args [][]byte) wire.Value {
	switch n, ok := redis.ParseInt(args[0]); {
	case !ok:
		return redis.Fail(redis.ErrNotInteger)
	case n != 0:
		return redis.Fail("ERR SELECT is not allowed in cluster mode")
	}
	return redis.OK()
}

const badName = "ERR Client names cannot contain spaces, newlines or special characters."

// plainName reports whether a client may be called so.
func plainName(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c < '!' || c > '~' })
}

func (c *conn) sayClientID([][]byte) (v wire.Value) {
	c.s.clients.see(c, func(i *clientInfo) { v = redis.Number(i.id) })
	return v
}

func (c *conn) sayClientGetName([][]byte) (v wire.Value) {
	c.s.clients.see(c, func(i *clientInfo) { v = redis.Text(i.name) })
	if len(v.Bytes) == 0 {
		return redis.Nil()
	}
	return v
}

func (c *conn) sayClientSetName(args [][]byte) wire.Value {
	if !plainName(args[0]) {
		return redis.Fail(badName)
	}
	c.s.clients.see(c, func(i *clientInfo) { i.name = string(args[0]) })
	return redis.OK()
}

// sayClientSetInfo is of Redis 7.2, whose clients send it before anything else.
func (c *conn) sayClientSetInfo(args [][]byte) wire.Value {
	option := strings.ToLower(string(args[0]))
	if option != "lib-name" && option != "lib-ver" {
		return redis.Fail(fmt.Sprintf("ERR Unrecognized option '%s'", args[0]))
	}
	if !plainName(args[1]) {
		return redis.Fail(fmt.Sprintf("ERR %s cannot contain spaces, newlines or special characters.", option))
	}
	c.s.clients.see(c, func(i *clientInfo) {
		if option == "lib-name" {
			i.libName = string(args[1])
		} else {
			i.libVer = string(args[1])
		}
	})
	return redis.OK()
}

func (c *conn) sayClientInfo([][]byte) (v wire.Value) {
	c.s.clients.see(c, func(i *clientInfo) { v = redis.Verbatim(i.String()) })
	return v
}

// sayClientList is CLIENT LIST [TYPE type | ID id …].
func (c *conn) sayClientList(args [][]byte) wire.Value {
	wanted := func(*clientInfo) bool { return true }
	switch option := strings.ToUpper(string(slices.Concat(args[:min(1, len(args))]...))); {
	case len(args) == 0:
	case option == "TYPE" && len(args) == 2:
		switch strings.ToLower(string(args[1])) {
		case "normal":
		case "master", "replica", "slave", "pubsub":
			wanted = func(*clientInfo) bool { return false }
		default:
			return redis.Fail(fmt.Sprintf("ERR Unknown client type '%s'", args[1]))
		}
	case option == "ID" && len(args) > 1:
		ids := make(map[int64]bool)
		for _, a := range args[1:] {
			id, ok := redis.ParseInt(a)
			if !ok {
				return redis.Fail("ERR Invalid client ID")
			}
			ids[id] = true
		}
		wanted = func(i *clientInfo) bool { return ids[i.id] }
	default:
		return redis.Fail(redis.ErrSyntax)
	}
	var b strings.Builder
	for _, i := range c.s.clients.list() {
		if wanted(&i) {
			b.WriteString(i.String())
		}
	}
	return redis.Verbatim(b.String())
}

// sayOnOff is CLIENT NO-EVICT and NO-TOUCH: nothing is ever evicted here.
func (c *conn) sayOnOff(args [][]byte) wire.Value {
	if s := strings.ToLower(string(args[0])); s != "on" && s != "off" {
		return redis.Fail(redis.ErrSyntax)
	}
	return redis.OK()
}
