package gateway

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"viewring/client"
	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/ring"
)

// onceCommands are those that servers take under a request id: one mutation of one
// key, so that they can be repeated when a connection breaks.
var onceCommands = map[string]bool{
	"SET": true, "SETNX": true, "SETEX": true, "PSETEX": true, "DEL": true, "UNLINK": true, "APPEND": true,
	"INCR": true, "DECR": true, "INCRBY": true, "DECRBY": true, "PERSIST": true,
}

// isOnce reports whether a command can go under a request id.
func isOnce(name string, args [][]byte) bool {
	switch {
	case !onceCommands[name]:
		return false
	case name == "DEL", name == "UNLINK":
		return len(args) == 2
	case name == "SET":
		for _, a := range args[min(3, len(args)):] {
			if bytes.EqualFold(a, []byte("GET")) { // its reply is not only the mutation's
				return false
			}
		}
	}
	return true
}

// beforeTrust are the commands of who has not said the password.
var beforeTrust = map[string]bool{"AUTH": true, "HELLO": true, "QUIT": true, "RESET": true}

// nameMax is longer than the name of any command.
const nameMax = 32

// run carries out a command, or sends it on.
func (s *session) run(args [][]byte) error {
	name := strings.ToUpper(string(args[0][:min(len(args[0]), nameMax)]))
	cmd, isOwn := own[name]
	if !s.trusted && !beforeTrust[name] {
		s.replyError(secure.NoAuth)
		return nil
	}
	if isOwn {
		if !cmd.takes(len(args)) {
			s.wrong(arityText(args[0]))
			return nil
		}
		if s.tx.queueing && !cmd.inTx {
			s.queueOwn(name, args)
			return nil
		}
		return cmd.run(s, args)
	}
	table, err := s.g.commands(s.ctx)
	if err != nil {
		s.wrong(failureText(err))
		return nil
	}
	spec, ok := table[name]
	switch {
	case !ok:
		s.wrong(unknownText(args))
	case !spec.takes(len(args)):
		s.wrong(arityText(args[0]))
	case s.tx.queueing:
		s.queue(spec, args)
	default:
		s.forward(name, spec, args)
	}
	return nil
}

// wrong answers a command that can't be carried out; a transaction that it stands
// in is lost.
func (s *session) wrong(text string) {
	s.tx.spoiled = s.tx.queueing
	s.replyError(text)
}

func arityText(name []byte) string {
	return fmt.Sprintf("%s wrong number of arguments for '%s' command", wire.CodeErr, bytes.ToLower(name))
}

// unknownText is Redis's, cut short like its.
func unknownText(args [][]byte) string {
	const shown = 128
	var b strings.Builder
	for _, a := range args[1:] {
		if b.Len() >= shown {
			break
		}
		fmt.Fprintf(&b, "'%s' ", a[:min(len(a), shown-b.Len())])
	}
	return fmt.Sprintf("%s unknown command '%s', with args beginning with: %s", wire.CodeErr, args[0][:min(len(args[0]), shown)], b.String())
}

const crossSlot = "CROSSSLOT Keys in request don't hash to the same slot"

// forward sends a command to the primary of its keys, or in parts to several.
func (s *session) forward(name string, spec spec, args [][]byte) {
	keys := spec.keys(args)
	var slot uint16
	for i, k := range keys {
		at := ring.SlotOf(string(k))
		if i == 0 {
			slot = at
		} else if at != slot {
			s.split(name, args)
			return
		}
	}
	s.pushCall(s.send(name, spec, slot, args))
}

func (s *session) send(name string, spec spec, slot uint16, args [][]byte) *client.Call {
	return s.pipe.Send(s.ctx, client.Command{Args: args, Slot: slot, Mutation: spec.mutation, Once: isOnce(name, args), RESP3: s.resp3})
}

// pushCall passes on a call's answer.
func (s *session) pushCall(call *client.Call) {
	s.push(item{ready: call.Ready, write: func(ctx context.Context, w *wire.Writer) {
		raw, err := call.Wait(ctx)
		if err != nil {
			s.writeFailure(w, err)
			return
		}
		w.WriteRaw(raw)
	}})
}
