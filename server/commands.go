package server

import (
	"bytes"
	"strings"

	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/server/redis"
)

// command is what a server understands: its own or, with row, one of Redis's.
type command struct {
	row              *redis.Command
	argsMin, argsMax int // without the name, or names; argsMax -1: any number

	// run carries the command out on the connection's reading goroutine; its error
	// ends the connection.
	run func(c *conn, args [][]byte) error

	// says is instead of run for commands that are answered at once and may stand
	// between MULTI and EXEC.
	says func(c *conn, args [][]byte) wire.Value

	subs   map[string]*command // of a container
	settle bool                // what the connection asked for earlier comes first
	always bool                // done at once even after MULTI
	alone  bool                // not allowed after MULTI
}

// commands by their names in capitals. Filled once: some of its functions list it.
var commands map[string]*command

func own(args int, run func(c *conn, args [][]byte) error) *command {
	return &command{argsMin: args, argsMax: args, run: run, always: true}
}

func init() {
	commands = map[string]*command{
		wire.CmdDo:     own(1, (*conn).runDo),
		wire.CmdOnce:   {argsMin: 2, argsMax: -1, run: (*conn).runOnce, always: true},
		wire.CmdViewOf: own(1, (*conn).runViewOf),
		wire.CmdPrint:  own(1, (*conn).runPrint),
		wire.CmdLSet:   own(2, (*conn).runLocalSet),
		wire.CmdLGet:   own(1, (*conn).runLocalGet),
		wire.CmdKeys:   own(2, (*conn).runOwnKeys),
		wire.CmdCopies: own(3, (*conn).runCopies),
		wire.CmdParts:  own(0, (*conn).runParts),
		wire.CmdLink:   own(1, (*conn).runLink),
		wire.CmdScrub:  own(1, (*conn).runScrub),
		wire.CmdWhole:  {argsMin: 2, argsMax: -1, run: (*conn).runWhole, always: true},
		wire.CmdScan:   {argsMin: 1, argsMax: -1, run: (*conn).runScanRun, always: true},
	}
	for _, row := range redis.Table {
		cmd := fromRow(row)
		if len(row.Subs) > 0 {
			cmd.subs = make(map[string]*command)
			for _, sub := range row.Subs {
				_, name, _ := strings.Cut(sub.Name, "|")
				cmd.subs[strings.ToUpper(name)] = fromRow(sub)
			}
		}
		commands[strings.ToUpper(row.Name)] = cmd
	}
}

// fromRow joins a row of the table with what a server does for it. What is about
// named keys alone needs nothing more than its row.
func fromRow(row *redis.Command) *command {
	cmd := redisCommands[row.Name]
	if cmd == nil {
		cmd = &command{}
	}
	cmd.row = row
	words := strings.Count(row.Name, "|") + 1
	if cmd.argsMin, cmd.argsMax = row.Arity-words, row.Arity-words; row.Arity < 0 {
		cmd.argsMin, cmd.argsMax = -row.Arity-words, -1
	}
	switch {
	case cmd.run != nil:
	case cmd.says != nil:
		cmd.run = func(c *conn, args [][]byte) error { return c.runSays(cmd, args) }
	case row.Evaluates():
		cmd.run = func(c *conn, args [][]byte) error { return c.runEvaluated(cmd, args) }
	}
	return cmd
}

// redisCommands says what is done for the rows of Redis's table: those whose reply is
// made here, and those that have a short way to a lane.
var redisCommands = map[string]*command{
	"get":         {run: (*conn).runGet},
	"set":         {run: (*conn).runSet},
	"setnx":       {run: (*conn).runSetNX},
	"setex":       {run: (*conn).runSetEX},
	"psetex":      {run: (*conn).runPSetEX},
	"mset":        {run: (*conn).runMSet},
	"append":      {run: (*conn).runAppend},
	"strlen":      {run: (*conn).runStrlen},
	"getrange":    {run: (*conn).runGetRange},
	"substr":      {run: (*conn).runGetRange},
	"incr":        {run: (*conn).runIncr},
	"decr":        {run: (*conn).runDecr},
	"incrby":      {run: (*conn).runIncrBy},
	"decrby":      {run: (*conn).runDecrBy},
	"del":         {run: (*conn).runDel},
	"unlink":      {run: (*conn).runDel},
	"exists":      {run: (*conn).runExists},
	"touch":       {run: (*conn).runExists},
	"type":        {run: (*conn).runType},
	"expire":      {run: (*conn).runExpire},
	"pexpire":     {run: (*conn).runPExpire},
	"expireat":    {run: (*conn).runExpireAt},
	"pexpireat":   {run: (*conn).runPExpireAt},
	"persist":     {run: (*conn).runPersist},
	"ttl":         {run: (*conn).runTTL},
	"pttl":        {run: (*conn).runPTTL},
	"expiretime":  {run: (*conn).runExpireTime},
	"pexpiretime": {run: (*conn).runPExpireTime},

	"randomkey": {says: (*conn).sayRandomKey, settle: true},
	"keys":      {says: (*conn).sayKeys, settle: true},
	"scan":      {says: (*conn).sayScan, settle: true},
	"dbsize":    {says: (*conn).sayDBSize, settle: true},
	"flushall":  {says: (*conn).sayFlush, settle: true, alone: true},
	"flushdb":   {says: (*conn).sayFlush, settle: true, alone: true},
	"wait":      {says: (*conn).sayWait, settle: true},

	"ping":      {says: (*conn).sayPing},
	"echo":      {says: (*conn).sayEcho},
	"hello":     {run: (*conn).runHello, alone: true},
	"auth":      {says: (*conn).sayAuth},
	"select":    {says: (*conn).saySelect},
	"quit":      {run: (*conn).runQuit, always: true},
	"reset":     {run: (*conn).runReset, always: true},
	"readonly":  {says: (*conn).sayOK},
	"readwrite": {says: (*conn).sayOK},
	"asking":    {says: (*conn).sayOK},
	"time":      {says: (*conn).sayTime},
	"info":      {says: (*conn).sayInfo, settle: true},

	"client":          {},
	"client|id":       {says: (*conn).sayClientID},
	"client|getname":  {says: (*conn).sayClientGetName},
	"client|setname":  {says: (*conn).sayClientSetName},
	"client|setinfo":  {says: (*conn).sayClientSetInfo},
	"client|list":     {says: (*conn).sayClientList},
	"client|info":     {says: (*conn).sayClientInfo},
	"client|no-evict": {says: (*conn).sayOnOff},
	"client|no-touch": {says: (*conn).sayOnOff},

	"command":         {says: (*conn).sayCommand},
	"command|count":   {says: (*conn).sayCommandCount},
	"command|docs":    {says: (*conn).sayCommandDocs},
	"command|info":    {says: (*conn).sayCommandInfo},
	"command|getkeys": {says: (*conn).sayCommandGetKeys},
	"command|list":    {says: (*conn).sayCommandList},

	"config":     {},
	"config|get": {says: (*conn).sayConfigGet},

	"cluster":                 {},
	"cluster|slots":           {says: (*conn).sayClusterSlots},
	"cluster|shards":          {says: (*conn).sayClusterShards},
	"cluster|nodes":           {says: (*conn).sayClusterNodes},
	"cluster|keyslot":         {says: (*conn).sayClusterKeySlot},
	"cluster|info":            {says: (*conn).sayClusterInfo},
	"cluster|myid":            {says: (*conn).sayClusterMyID},
	"cluster|countkeysinslot": {says: (*conn).sayCountKeysInSlot, settle: true},
	"cluster|getkeysinslot":   {says: (*conn).sayGetKeysInSlot, settle: true},

	"multi":   {run: (*conn).runMulti, always: true},
	"exec":    {run: (*conn).runExec, always: true},
	"discard": {run: (*conn).runDiscard, always: true},
	"watch":   {run: (*conn).runWatch, always: true},
	"unwatch": {says: (*conn).sayUnwatch},
}

// commandNameMax is longer than any name in commands.
const commandNameMax = 20

// lookUp finds a command by its name in any case.
func lookUp(in map[string]*command, name []byte) *command {
	var b [commandNameMax]byte
	if len(name) > len(b) {
		return nil
	}
	n := copy(b[:], name)
	for i, c := range b[:n] {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return in[string(b[:n])]
}

// redisCommand is one of those that must be there.
func redisCommand(name string) *command { return lookUp(commands, []byte(name)) }

// run carries out one command, or hands it to a lane.
func (c *conn) run(args [][]byte) error {
	cmd := lookUp(commands, args[0])
	if cmd == nil {
		return c.reject(redis.UnknownError(args))
	}
	args = args[1:]
	if cmd.subs != nil && len(args) > 0 {
		sub := lookUp(cmd.subs, args[0])
		if sub == nil {
			return c.reject(redis.UnknownSubError(cmd.row, args[0]))
		}
		cmd, args = sub, args[1:]
	}
	if n := len(args); n < cmd.argsMin || cmd.argsMax >= 0 && n > cmd.argsMax {
		if cmd.row == nil {
			return c.reject(wire.CodeErr + " wrong number of arguments")
		}
		if cmd == redisCommand("exec") {
			c.discard()
			return c.reject(redis.ExecArityError(cmd.row))
		}
		return c.reject(redis.ArityError(cmd.row))
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
	}
	c.replyError(text)
	return nil
}

// runGuarded looks at a command of a connection that has not said its password, or
// that is between MULTI and EXEC.
func (c *conn) runGuarded(cmd *command, args [][]byte) error {
	switch {
	case c.session.late && !isForServers(cmd):
		c.s.reached.connections.Add(1)
		c.replyError(wire.TooManyClients)
		return errQuit
	case !c.session.trusted && (cmd.row == nil || !cmd.row.HasFlag("no_auth")):
		return c.reject(secure.NoAuth)
	case c.session.multi == nil || cmd.always:
		return cmd.run(c, args)
	case cmd.alone:
		return c.reject(wire.CodeErr + " Command not allowed inside a transaction")
	}
	return c.enqueue(cmd, args)
}

// runSays answers a command whose reply is made on the spot.
func (c *conn) runSays(cmd *command, args [][]byte) error {
	if cmd.settle && !c.settle() {
		return errStopped
	}
	v := cmd.says(c, args)
	c.replyHeld(c.session.takeHeld(), func(w *wire.Writer) { w.WriteValue(v) })
	return nil
}

func (c *conn) replyValue(v wire.Value) {
	c.reply(func(w *wire.Writer) { w.WriteValue(v) })
}

func (c *conn) replyError(text string) {
	c.reply(func(w *wire.Writer) { w.WriteError(text) })
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
