package server

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"viewring/internal/front"
	"viewring/internal/wire"
	"viewring/server/redis"
)

// command is what a server does: one of its own commands or, with row, one of Redis's.
type command struct {
	number           int // for who counts it
	row              *redis.Command
	argsMin, argsMax int // of its own; argsMax -1: any number

	// run carries the command out on the connection's reading goroutine; its error
	// ends the connection.
	run func(c *conn, args [][]byte) error

	// says is instead of run for commands that are answered at once and may stand
	// between MULTI and EXEC.
	says func(c *conn, args [][]byte) wire.Value

	// part is what a gateway asks all servers of a view for; whole says that it was of all
	// that this server is primary of.
	part func(c *conn, args [][]byte) (v wire.Value, whole bool)

	inOrder bool // what the connection asked for earlier comes first
}

// multi is what becomes of a command after MULTI.
func (cmd *command) multi() redis.Multi {
	if cmd.row == nil {
		return redis.AtOnce
	}
	return cmd.row.Multi
}

// ownCommands are those that Redis has not, by their names in capitals; redisCommands the
// others, by their rows' Index. Filled once: some of their functions list them.
var (
	ownCommands   map[string]*command
	redisCommands []*command
	ownNames      []string // of those that are counted beside redisCommands, in the order of their numbers
)

func own(args int, run func(c *conn, args [][]byte) error) *command {
	return &command{argsMin: args, argsMax: args, run: run}
}

func init() {
	ownCommands = map[string]*command{
		wire.CmdDo:        own(1, (*conn).runDo),
		wire.CmdAbout:     own(0, (*conn).runAbout),
		wire.CmdAtomic:    own(1, (*conn).runAtomic),
		wire.CmdTree:      own(1, (*conn).runTree),
		wire.CmdChunk:     own(1, (*conn).runChunk),
		wire.CmdRecord:    own(1, (*conn).runRecord),
		wire.CmdLook:      own(1, (*conn).runLook),
		wire.CmdOnce:      {argsMin: 2, argsMax: -1, run: (*conn).runOnce},
		wire.CmdViewOf:    own(1, (*conn).runViewOf),
		wire.CmdPrint:     own(1, (*conn).runPrint),
		wire.CmdLSet:      own(2, (*conn).runLocalSet),
		wire.CmdLGet:      own(1, (*conn).runLocalGet),
		wire.CmdKeys:      own(2, (*conn).runOwnKeys),
		wire.CmdCopies:    own(3, (*conn).runCopies),
		wire.CmdParts:     own(0, (*conn).runParts),
		wire.CmdWatch:     own(1, (*conn).runWatchKeys),
		wire.CmdUnwatch:   own(1, (*conn).runUnwatchKeys),
		wire.CmdLink:      own(1, (*conn).runLink),
		wire.CmdScrub:     own(1, (*conn).runScrub),
		wire.CmdRebalance: {argsMin: 1, argsMax: 2, run: (*conn).runRebalance},
		wire.CmdWhole:     {argsMin: 2, argsMax: -1, run: (*conn).runWhole},
		wire.CmdKeyPage:   own(1, (*conn).runKeyPage),
		wire.CmdScan:      {argsMin: 1, argsMax: -1, run: (*conn).runScanRun},
	}
	for i, name := range slices.Sorted(maps.Keys(ownCommands)) {
		ownCommands[name].number = redis.Count() + i
		ownNames = append(ownNames, strings.ToLower(name))
	}
	for _, op := range doNames {
		ownNames = append(ownNames, strings.ToLower(wire.CmdDo)+"|"+op)
	}
	redisCommands = make([]*command, redis.Count())
	for _, row := range redis.Table {
		for _, one := range append([]*redis.Command{row}, row.Subs...) {
			redisCommands[one.Index] = fromRow(one)
		}
	}
}

// fromRow joins a row of the table with what a server does for it. What is about
// named keys or the session alone needs nothing more than its row.
func fromRow(row *redis.Command) *command {
	cmd := &command{}
	if h, ok := hosted[row.Name]; ok {
		cmd = &h
	}
	cmd.row, cmd.number = row, row.Index
	if row.Talks() {
		cmd.says = func(c *conn, args [][]byte) wire.Value { return row.Say(c.session.client, args) }
	}
	with := func(run func(c *conn, cmd *command, args [][]byte) error) {
		cmd.run = func(c *conn, args [][]byte) error { return run(c, cmd, args) }
	}
	switch {
	case cmd.run != nil:
	case cmd.says != nil:
		with((*conn).runSays)
	case row.Reads():
		with((*conn).runRead)
	case row.Writes():
		with((*conn).runWrite)
	case row.Blind():
		with((*conn).runBlind)
	case row.Evaluates():
		with((*conn).runEvaluated)
	}
	return cmd
}

// hosted says what is done for the rows of Redis's table that take more than keys and a
// session.
var hosted = map[string]command{
	"randomkey":               {says: (*conn).sayRandomKey, inOrder: true},
	"keys":                    {says: (*conn).sayKeys, inOrder: true},
	"scan":                    {says: (*conn).sayScan, inOrder: true},
	"dbsize":                  {says: (*conn).sayDBSize, part: (*conn).partDBSize, inOrder: true},
	"flushall":                {says: (*conn).sayFlush, part: (*conn).partFlush, inOrder: true},
	"flushdb":                 {says: (*conn).sayFlush, part: (*conn).partFlush, inOrder: true},
	"wait":                    {says: (*conn).sayWait, inOrder: true},
	"quit":                    {run: (*conn).runQuit},
	"reset":                   {says: (*conn).sayReset},
	"info":                    {says: (*conn).sayInfo, inOrder: true},
	"config|get":              {says: (*conn).sayConfigGet},
	"cluster|slots":           {says: (*conn).sayClusterSlots},
	"cluster|shards":          {says: (*conn).sayClusterShards},
	"cluster|nodes":           {says: (*conn).sayClusterNodes},
	"cluster|keyslot":         {says: (*conn).sayClusterKeySlot},
	"cluster|info":            {says: (*conn).sayClusterInfo},
	"cluster|myid":            {says: (*conn).sayClusterMyID},
	"cluster|countkeysinslot": {says: (*conn).sayCountKeysInSlot, inOrder: true},
	"cluster|getkeysinslot":   {says: (*conn).sayGetKeysInSlot, inOrder: true},
	"multi":                   {run: (*conn).runMulti},
	"exec":                    {run: (*conn).runExec},
	"discard":                 {run: (*conn).runDiscard},
	"watch":                   {run: (*conn).runWatch},
	"unwatch":                 {says: (*conn).sayUnwatch},
	"subscribe":               {run: (*conn).runSubscribe},
	"unsubscribe":             {run: (*conn).runUnsubscribe},
	"psubscribe":              {run: (*conn).runPSubscribe},
	"punsubscribe":            {run: (*conn).runPUnsubscribe},
	"pubsub|channels":         {says: (*conn).sayPubSubChannels},
	"pubsub|numsub":           {says: (*conn).sayPubSubNumSub},
	"pubsub|numpat":           {says: (*conn).sayPubSubNumPat},
	"client|tracking":         {says: (*conn).sayClientTracking},
}

// ownNameMax is longer than any name of our own.
const ownNameMax = 16

// ownCommand finds one of our own by its name in any case.
func ownCommand(name []byte) *command {
	if len(name) < 4 || len(name) > ownNameMax || name[2] != '.' {
		return nil
	}
	var b [ownNameMax]byte
	n := copy(b[:], name)
	for i, c := range b[:n] {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return ownCommands[string(b[:n])]
}

// redisCommand is one of those that must be there.
func redisCommand(name string) *command { return redisCommands[redis.Lookup(name).Index] }

// run carries out one command, or hands it to a lane.
func (c *conn) run(words [][]byte) error {
	c.times.ask(c.s.monitor.Other(), words)
	cmd, args := ownCommand(words[0]), words[1:]
	if cmd == nil {
		row, rest, errText := redis.Resolve(words)
		if row != nil {
			c.times.is(row, rest)
		}
		if errText != "" {
			if row == redis.Lookup("exec") {
				c.discard()
			}
			return c.reject(errText)
		}
		cmd, args = redisCommands[row.Index], rest
	} else {
		c.times.asked.number = uint16(cmd.number)
		if n := len(args); n < cmd.argsMin || cmd.argsMax >= 0 && n > cmd.argsMax {
			return c.reject(wire.CodeErr + " wrong number of arguments")
		}
	}
	if c.session.guarded {
		return c.runGuarded(cmd, args)
	}
	return cmd.run(c, args)
}

// reject refuses a command before it is carried out; a MULTI that it belongs to is
// spoiled.
func (c *conn) reject(text string) error {
	if m := c.session.multi; m != nil {
		m.spoiled = true
	} else {
		c.session.client.Followed(nil)
	}
	c.replyError(text)
	return nil
}

// access is what a command is to a connection that may not ask for everything. One that
// is kept for other servers is over with the link that it becomes.
func (cmd *command) access() (s front.Access) {
	if cmd.row != nil && cmd.row.HasFlag("no_auth") {
		s |= front.Open
	}
	if cmd == ownCommands[wire.CmdLink] || cmd == ownCommands[wire.CmdViewOf] || cmd == redisCommand("auth") {
		s |= front.ForPeers
	}
	return s
}

// listens reports whether a client may ask for the command that reads messages and nothing
// else.
func (cmd *command) listens() bool { return cmd.row != nil && cmd.row.Listens() }

// name is the command's, where it is one of Redis's.
func (cmd *command) name() string {
	if cmd.row == nil {
		return "this"
	}
	return cmd.row.Name
}

// runGuarded looks at a command of a connection that has not said its password or is kept
// for other servers, that is between MULTI and EXEC, or whose client subscribed or keeps what it
// reads.
func (c *conn) runGuarded(cmd *command, args [][]byte) error {
	switch refusal, over := c.Admit(cmd.access()); {
	case over:
		c.replyError(refusal)
		return errQuit
	case refusal != "":
		return c.reject(refusal)
	case c.session.client.Restricted() && !cmd.listens():
		return c.reject(redis.ErrRestricted(cmd.name()))
	case c.session.multi == nil || cmd.multi() == redis.AtOnce:
		return c.runTracked(cmd, args)
	case cmd.multi() == redis.Refused:
		return c.reject(redis.ErrNotInMulti)
	}
	return c.enqueue(cmd, args)
}

// runSays answers a command whose reply is made on the spot.
func (c *conn) runSays(cmd *command, args [][]byte) error {
	if cmd.inOrder && !c.AwaitReplies() {
		return errStopped
	}
	v := cmd.says(c, args)
	c.guard()
	resp3 := c.session.client.RESP3()
	c.replyHeld(c.session.takeHeld(), redis.EndedBy(&v), func(w *wire.Writer) {
		w.SetRESP3(resp3)
		w.WriteValue(v)
	})
	return nil
}

func (c *conn) replyValue(v wire.Value) {
	c.replyHeld(0, redis.EndedBy(&v), func(w *wire.Writer) { w.WriteValue(v) })
}

func (c *conn) replyError(text string) {
	c.replyHeld(0, redis.EndedWith(text), func(w *wire.Writer) { w.WriteError(text) })
}

func (c *conn) replyOK() {
	c.reply(func(w *wire.Writer) { w.WriteSimple("OK") })
}

// quote shows what somebody sent, cut short.
func quote(b []byte) string {
	const shown = 64
	if len(b) > shown {
		b = append(bytes.Clone(b[:shown]), "…"...)
	}
	return "'" + strings.ToValidUTF8(string(b), "?") + "'"
}
