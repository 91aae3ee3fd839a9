package server

import (
	"bytes"
	"strings"

	"viewring/internal/wire"
)

// command is what a server understands. run is called on the connection's reading
// goroutine; its error ends the connection.
type command struct {
	argsMin, argsMax int // without the name; argsMax -1: any number
	run              func(c *conn, args [][]byte) error
}

// commands by their names in capitals. Filled once: some of its functions list it.
var commands map[string]command

func init() {
	commands = map[string]command{
		wire.CmdDo:     {1, 1, (*conn).runDo},
		wire.CmdOnce:   {2, -1, (*conn).runOnce},
		wire.CmdViewOf: {1, 1, (*conn).runViewOf},
		wire.CmdPrint:  {1, 1, (*conn).runPrint},
		wire.CmdLSet:   {2, 2, (*conn).runLocalSet},
		wire.CmdLGet:   {1, 1, (*conn).runLocalGet},
		wire.CmdKeys:   {2, 2, (*conn).runKeys},
		wire.CmdCopies: {3, 3, (*conn).runCopies},
		wire.CmdParts:  {0, 0, (*conn).runParts},
		wire.CmdLink:   {1, 1, (*conn).runLink},
		wire.CmdScrub:  {1, 1, (*conn).runScrub},

		"GET":         {1, 1, (*conn).runGet},
		"SET":         {2, 8, (*conn).runSet},
		"DEL":         {1, 1, (*conn).runDel},
		"EXISTS":      {1, 1, (*conn).runExists},
		"APPEND":      {2, 2, (*conn).runAppend},
		"INCR":        {1, 1, (*conn).runIncr},
		"DECR":        {1, 1, (*conn).runDecr},
		"INCRBY":      {2, 2, (*conn).runIncrBy},
		"DECRBY":      {2, 2, (*conn).runDecrBy},
		"STRLEN":      {1, 1, (*conn).runStrlen},
		"PERSIST":     {1, 1, (*conn).runPersist},
		"EXPIRE":      {2, -1, (*conn).runExpire},
		"PEXPIRE":     {2, -1, (*conn).runPExpire},
		"EXPIREAT":    {2, -1, (*conn).runExpireAt},
		"PEXPIREAT":   {2, -1, (*conn).runPExpireAt},
		"TTL":         {1, 1, (*conn).runTTL},
		"PTTL":        {1, 1, (*conn).runPTTL},
		"EXPIRETIME":  {1, 1, (*conn).runExpireTime},
		"PEXPIRETIME": {1, 1, (*conn).runPExpireTime},
		"PING":        {0, 1, (*conn).runPing},
		"ECHO":        {1, 1, (*conn).runEcho},
		"QUIT":        {0, 0, (*conn).runQuit},
		"SELECT":      {1, 1, (*conn).runSelect},
		"HELLO":       {0, 7, (*conn).runHello},
		"CLIENT":      {1, -1, (*conn).runClient},
		"COMMAND":     {0, -1, (*conn).runCommand},
		"CLUSTER":     {1, -1, (*conn).runCluster},
		"READONLY":    {0, 0, (*conn).runOK},
		"INFO":        {0, -1, (*conn).runInfo},
	}
}

// commandNameMax is longer than any name in commands.
const commandNameMax = 16

// run carries out one command, or hands it to a lane.
func (c *conn) run(args [][]byte) error {
	var name [commandNameMax]byte
	n := copy(name[:], args[0])
	for i, b := range name[:n] {
		if 'a' <= b && b <= 'z' {
			name[i] = b - 'a' + 'A'
		}
	}
	cmd, ok := commands[string(name[:n])]
	if !ok || len(args[0]) > commandNameMax {
		c.replyError(wire.CodeErr + " unknown command " + quote(args[0]))
		return nil
	}
	if given := len(args) - 1; given < cmd.argsMin || cmd.argsMax >= 0 && given > cmd.argsMax {
		c.replyError(wire.CodeErr + " wrong number of arguments for " + quote(args[0]))
		return nil
	}
	return cmd.run(c, args[1:])
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
