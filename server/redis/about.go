package redis

import (
	"slices"
	"strings"

	"viewring/internal/wire"
)

// COMMAND: the table in Redis's words.

func talkCommand(*Session, [][]byte) wire.Value {
	all := Array()
	for _, cmd := range Table {
		all.Array = append(all.Array, cmd.Describe())
	}
	return all
}

func talkCommandCount(*Session, [][]byte) wire.Value { return Number(int64(len(Table))) }

func talkCommandInfo(s *Session, args [][]byte) wire.Value {
	if len(args) == 0 {
		return talkCommand(s, nil)
	}
	all := Array()
	for _, a := range args {
		v := Nil()
		if cmd := Lookup(string(a)); cmd != nil {
			v = cmd.Describe()
		}
		all.Array = append(all.Array, v)
	}
	return all
}

func talkCommandDocs(_ *Session, args [][]byte) wire.Value {
	all := Map()
	add := func(cmd *Command) {
		all.Array = append(all.Array, Text(cmd.Name), cmd.Document())
	}
	for _, a := range args {
		if cmd := Lookup(string(a)); cmd != nil {
			add(cmd)
		}
	}
	if len(args) == 0 {
		for _, cmd := range Table {
			add(cmd)
		}
	}
	return all
}

// talkCommandList is COMMAND LIST [FILTERBY MODULE name|ACLCAT category|PATTERN pattern].
func talkCommandList(_ *Session, args [][]byte) wire.Value {
	keep := func(*Command) bool { return true }
	if len(args) > 0 {
		if len(args) != 3 || !strings.EqualFold(string(args[0]), "FILTERBY") {
			return Fail(ErrSyntax)
		}
		what := strings.ToLower(string(args[2]))
		switch strings.ToUpper(string(args[1])) {
		case "MODULE":
			keep = func(*Command) bool { return false }
		case "ACLCAT":
			keep = func(cmd *Command) bool { return slices.Contains(cmd.Categories, what) }
		case "PATTERN":
			keep = func(cmd *Command) bool { return Match(what, cmd.Name) }
		default:
			return Fail(ErrSyntax)
		}
	}
	names := Array()
	for _, cmd := range Table {
		for _, one := range append([]*Command{cmd}, cmd.Subs...) {
			if keep(one) && (one == cmd || len(args) > 0) {
				names.Array = append(names.Array, Text(one.Name))
			}
		}
	}
	return names
}

func talkCommandGetKeys(_ *Session, args [][]byte) wire.Value {
	cmd := Lookup(string(args[0]))
	switch {
	case cmd == nil, strings.Contains(cmd.Name, "|"), len(cmd.Subs) > 0 && len(args) > 1 && cmd.Sub(args[1]) == nil:
		return Fail("ERR Invalid command specified")
	case cmd.Keys.Step == 0:
		return Fail("ERR The command has no key arguments")
	case !cmd.Takes(len(args)):
		return Fail("ERR Invalid number of arguments specified for command")
	}
	keys := Array()
	for _, k := range cmd.KeysOf(args[1:]) {
		keys.Array = append(keys.Array, Text(string(k)))
	}
	return keys
}
