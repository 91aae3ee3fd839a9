package gateway

import (
	"context"

	"viewring/internal/front"
	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
)

// hosted are the commands that take more of a gateway than a session or the servers of
// some keys, by their names. Filled once: some of them list it.
var hosted map[string]func(s *session, args [][]byte) error

func init() {
	hosted = map[string]func(s *session, args [][]byte) error{
		"quit": (*session).runQuit, "reset": (*session).runReset, "info": (*session).runInfo, "wait": (*session).runWait,
		"scan": (*session).runScan, "keys": (*session).runKeys, "randomkey": (*session).runRandomKey,
		"multi": (*session).runMulti, "exec": (*session).runExec, "discard": (*session).runDiscard,
		"watch": (*session).runWatch, "unwatch": (*session).runUnwatch,
		"subscribe": (*session).refuseTelling, "unsubscribe": (*session).refuseTelling, "psubscribe": (*session).refuseTelling, "punsubscribe": (*session).refuseTelling,
		"pubsub|channels": (*session).refuseTelling, "pubsub|numsub": (*session).refuseTelling, "pubsub|numpat": (*session).refuseTelling,
		"client|tracking": (*session).refuseTelling,
	}
}

// run carries out a command, or sends it on. words are the reader's: who keeps them for the
// command's turn takes copies.
func (s *session) run(words [][]byte) error {
	cmd, args, errText := redis.Resolve(words)
	if cmd != nil {
		s.asking.is(cmd, args)
	}
	switch {
	case errText != "":
		if cmd == redis.Lookup("exec") {
			s.endTransaction()
		}
		s.wrong(errText)
	case !s.may(cmd):
	case s.tx.queueing && cmd.Multi != redis.AtOnce:
		s.enqueue(cmd, words)
	case cmd.Gateway.Way == redis.ToKeys || cmd.Gateway.Way == redis.ToParts:
		s.forward(cmd, words)
	case cmd.Gateway.Way == redis.ToAll:
		s.runEverywhere(cmd, words)
	case cmd.Gateway.Way == redis.ToAny:
		s.pushCall(s.pipe.Send(s.ctx, route.Command{Args: words, RESP3: s.client.RESP3()}))
	case cmd.Gateway.Way == redis.Nowhere:
		s.replyError(wire.CodeErr + " This instance has cluster support disabled")
	case cmd.Talks():
		s.say(cmd.Say(s.client, args))
	default:
		return hosted[cmd.Name](s, words)
	}
	return nil
}

// may reports whether the client may ask for a command, and answers it when not.
func (s *session) may(cmd *redis.Command) bool {
	if !s.Guarded() {
		return true
	}
	var access front.Access
	if cmd.HasFlag("no_auth") {
		access = front.Open
	}
	refusal, _ := s.Admit(access)
	if refusal != "" {
		s.wrong(refusal)
	}
	return refusal == ""
}

// wrong answers a command that can't be carried out; a transaction that it stands
// in is lost.
func (s *session) wrong(text string) {
	s.tx.spoiled = s.tx.queueing
	s.replyError(text)
}

// forward sends a command to the primary of its keys, or in parts to several.
func (s *session) forward(cmd *redis.Command, args [][]byte) {
	var slot uint16
	for i, k := range cmd.KeysOf(args[1:]) {
		at := ring.SlotOf(string(k))
		if i == 0 {
			slot = at
		} else if at != slot {
			s.split(cmd, args)
			return
		}
	}
	s.pushCall(s.send(cmd, slot, args))
}

func (s *session) send(cmd *redis.Command, slot uint16, args [][]byte) *route.Call {
	mutation := cmd.HasFlag("write")
	if mutation {
		s.noteWrite(slot)
	}
	return s.pipe.Send(s.ctx, route.Command{Args: args, Slot: slot, Mutation: mutation, Once: cmd.Repeatable(args[1:]), RESP3: s.client.RESP3()})
}

// endedRaw is what a reply comes to that a server gave.
func endedRaw(raw []byte) redis.Ended {
	switch {
	case len(raw) > 3 && wire.Kind(raw[0]) == wire.KindError:
		return redis.EndedWith(string(raw[1 : len(raw)-2]))
	case raw[0] == '_' || len(raw) > 1 && raw[1] == '-' && raw[0] == '$':
		return redis.EndedAbsent
	}
	return redis.EndedOK
}

func sizeOf(args [][]byte) (n int64) {
	for _, a := range args {
		n += int64(len(a))
	}
	return n
}

// pushCall passes on a call's answer.
func (s *session) pushCall(call *route.Call) {
	s.push(item{ready: call.Ready, write: func(ctx context.Context, w *wire.Writer) {
		raw, err := call.Wait(ctx)
		if err != nil {
			s.writeFailure(w, err)
			return
		}
		s.ended = endedRaw(raw)
		w.WriteRaw(raw)
	}})
}
