package server

import (
	"time"

	"viewring/internal/wire"
	"viewring/server/redis"
	"viewring/server/replica"
)

// asked is a command as it was read, for who counts it when it is answered.
type asked struct {
	number uint16
	words  uint32
	at     time.Duration // when it arrived, as sinceBase tells it
}

// times are what a connection knows of the clock. It looks once for all commands that one
// read of the network brought, and once for all replies that go out together. answered is of
// who has the writer, the others are of the reading goroutine.
type times struct {
	arrived  time.Duration // 0: not looked at since the last read
	answered time.Duration // 0: not since the last flush
	asked    asked         // the command that is being run
	first    []byte        // its first argument, which aliases the reader's buffer
}

// base is when the clock of times began.
var base = time.Now()

func sinceBase() time.Duration { return time.Since(base) }

// ask notes a command that is run next.
func (t *times) ask(number int, words [][]byte) {
	if t.arrived == 0 {
		t.arrived = sinceBase()
	}
	t.asked = asked{number: uint16(number), words: uint32(len(words)), at: t.arrived}
	t.first = nil
}

// is says which command of Redis it is.
func (t *times) is(row *redis.Command, args [][]byte) {
	t.asked.number = uint16(row.Index)
	if len(args) > 0 {
		t.first = args[0]
	}
}

// firstIfSlow is the first argument of the command that is being run, where that is slow already.
func (c *conn) firstIfSlow() string {
	t := &c.times
	if t.first == nil || !c.s.monitor.Slow(sinceBase()-t.asked.at) {
		return ""
	}
	return string(t.first[:min(len(t.first), firstBytesMax)])
}

// firstBytesMax is more than the slow log keeps.
const firstBytesMax = 256

// count counts a call that is answered. The caller has the writer.
func (c *conn) count(cl *call) {
	if cl.asked.at == 0 {
		return // of no command
	}
	t := &c.times
	if t.answered < cl.asked.at {
		t.answered = sinceBase()
	}
	c.s.monitor.Done(c.session.client, redis.Done{
		Number: int(cl.asked.number), Words: int(cl.asked.words), Ended: cl.end(), Took: t.answered - cl.asked.at, First: cl.first,
	})
}

// end is what a call came to.
func (c *call) end() redis.Ended {
	if c.style == replyWritten {
		return c.ended
	}
	return endedBy[c.answer.Status]
}

// endedBy are the answers of cores in the words of clients. Status 0 is of a reply that is made of several answers.
var endedBy = [...]redis.Ended{
	replica.StatusNotFound: redis.EndedAbsent, replica.StatusCondFailed: redis.EndedOK, replica.StatusNotInteger: redis.EndedWith(wire.CodeErr),
	replica.StatusTooLarge: redis.EndedWith(wire.CodeTooLarge), replica.StatusFenced: redis.EndedOK, replica.StatusMoved: redis.EndedWith(wire.CodeMoved),
	replica.StatusUnavailable: redis.EndedWith(wire.CodeUnavailable), replica.StatusTooFewCopies: redis.EndedWith(wire.CodeNotEnoughCopies),
	replica.StatusUnknown: redis.EndedWith(wire.CodeUnknownOutcome), replica.StatusBusy: redis.EndedWith(wire.CodeBusy),
	replica.StatusCorrupt: redis.EndedWith(wire.CodeCorrupt), replica.StatusExpiredID: redis.EndedWith(wire.CodeErr),
	replica.StatusFull: redis.EndedWith(wire.CodeReadOnly), replica.StatusBadOutcome: redis.EndedWith(wire.CodeErr),
}

// doNames are the operations of VR.DO, which are counted each by itself.
var doNames = [...]string{
	wire.DoGet: "get", wire.DoSet: "set", wire.DoDelete: "delete", wire.DoAppend: "append", wire.DoIncr: "incr", wire.DoExpire: "expire",
}

// numberOfDo is an operation's of VR.DO.
func numberOfDo(op wire.DoOp) uint16 {
	return uint16(redis.Count() + len(ownCommands) + int(op))
}
