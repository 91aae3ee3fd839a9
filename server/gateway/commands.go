package gateway

import (
	"bytes"
	"context"
	"strings"

	"viewring/client"
	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
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

// run carries out a command, or sends it on.
func (s *session) run(words [][]byte) error {
	cmd, args, errText := redis.Resolve(words)
	if cmd == nil || errText != "" {
		if cmd == redis.Lookup("exec") {
			s.tx.end()
		}
		s.wrong(errText)
		return nil
	}
	container, _, _ := strings.Cut(cmd.Name, "|")
	own := hosted[container]
	atOnce := own != nil || cmd.Talks()
	switch {
	case !s.client.Trusted() && !cmd.HasFlag("no_auth"):
		s.wrong(secure.NoAuth)
	case s.tx.queueing && atOnce && !transactions[cmd.Name]:
		if !queuedOwn[cmd.Name] {
			s.wrong(wire.CodeErr + " Command not allowed inside a transaction")
			return nil
		}
		s.queue(cmd, words)
	case own != nil:
		return own(s, words)
	case cmd.Talks():
		s.say(cmd, args)
	case s.tx.queueing:
		s.queue(cmd, words)
	default:
		s.forward(strings.ToUpper(cmd.Name), cmd, words)
	}
	return nil
}

// wrong answers a command that can't be carried out; a transaction that it stands
// in is lost.
func (s *session) wrong(text string) {
	s.tx.spoiled = s.tx.queueing
	s.replyError(text)
}

// forward sends a command to the primary of its keys, or in parts to several.
func (s *session) forward(name string, cmd *redis.Command, args [][]byte) {
	var slot uint16
	for i, k := range cmd.KeysOf(args[1:]) {
		at := ring.SlotOf(string(k))
		if i == 0 {
			slot = at
		} else if at != slot {
			s.split(name, cmd, args)
			return
		}
	}
	s.pushCall(s.send(name, cmd, slot, args), sizeOf(args))
}

func (s *session) send(name string, cmd *redis.Command, slot uint16, args [][]byte) *client.Call {
	mutation := cmd.HasFlag("write")
	if mutation {
		s.noteWrite(slot)
	}
	return s.pipe.Send(s.ctx, client.Command{Args: args, Slot: slot, Mutation: mutation, Once: isOnce(name, args), RESP3: s.client.RESP3()})
}

func sizeOf(args [][]byte) (n int64) {
	for _, a := range args {
		n += int64(len(a))
	}
	return n
}

// pushCall passes on a call's answer.
func (s *session) pushCall(call *client.Call, size int64) {
	s.push(item{ready: call.Ready, bytes: size, write: func(ctx context.Context, w *wire.Writer) {
		raw, err := call.Wait(ctx)
		if err != nil {
			s.writeFailure(w, err)
			return
		}
		w.WriteRaw(raw)
	}})
}
