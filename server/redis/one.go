package redis

import (
	"strconv"

	"viewring/internal/wire"
)

// Most commands look at one key, or change one, and nothing else. They say what as a Read
// or a Write, which a server can hand to the replication core as it is; between MULTI and
// EXEC the same is carried out on a Tx.

// Read is what a command wants of one key, and what it replies to that.
type Read struct {
	Cut   func(length int) (from, to int) // which part of the value; nil: all
	Reply func(f Found) wire.Value
}

// Found is what a Read finds.
type Found struct {
	Present bool
	Value   []byte       // the part that was asked for
	Length  int          // of the whole value, bytes
	Expiry  int64        // unix milliseconds, 0 = never
	Now     func() int64 // unix milliseconds
}

// Reader says which Read a command is. args are without the command's name, their number
// has been judged; errText is "" or the error reply.
type Reader func(args [][]byte) (r Read, errText string)

func (read Reader) eval(tx *Tx, _ *Command, args [][]byte) wire.Value {
	r, errText := read(args)
	if errText != "" {
		return Fail(errText)
	}
	s := tx.key(args[0])
	f := Found{Present: s.present, Value: s.value, Length: len(s.value), Expiry: s.expiry, Now: tx.now}
	if r.Cut != nil {
		from, to := r.Cut(f.Length)
		f.Value = f.Value[from:to]
	}
	return r.Reply(f)
}

// Write is one mutation of one key, in the words of a wire.DoRequest.
type Write struct {
	Op         wire.DoOp
	Cond       wire.DoCond
	Value      []byte
	Delta      int64
	KeepExpiry bool
	Timed      bool // the key lasts for, or until, Millis in Form
	Form       TimeForm
	Millis     int64
	Reply      Outcome

	get  bool          // what was there is the reply
	lets ExpireOptions // of the expiry that is there
}

// Outcome is how the reply tells what came of a Write.
type Outcome uint8

const (
	OutcomeDone   Outcome = iota // OK, or nil where the condition did not hold
	OutcomeCount                 // of keys: 1, or 0 where the condition did not hold or nothing was there
	OutcomeNumber                // of the operation
)

// Blind reports whether the mutation needs no look at what is there.
func (w *Write) Blind() bool { return !w.get && !w.lets.Conditional() }

// Writer says which Write a command is, as a Reader does; now is in unix milliseconds.
type Writer func(cmd *Command, args [][]byte, now func() int64) (w Write, errText string)

func (write Writer) eval(tx *Tx, cmd *Command, args [][]byte) wire.Value {
	w, errText := write(cmd, args, tx.now)
	if errText != "" {
		return Fail(errText)
	}
	return tx.mutate(tx.key(args[0]), &w)
}

func (tx *Tx) now() int64 { return tx.Now }

// mutate does to a key of the Tx what the core does to one that is stored.
func (tx *Tx) mutate(s *state, w *Write) wire.Value {
	switch w.Op {
	case wire.DoSet:
		return tx.store(s, w)
	case wire.DoDelete:
		if !s.present {
			return Number(0)
		}
		s.remove()
		return Number(1)
	case wire.DoAppend:
		size := len(s.value) + len(w.Value)
		if fail, bad := tx.tooLong(s, size); bad {
			return fail
		}
		s.become(append(append(make([]byte, 0, size), s.value...), w.Value...))
		return Number(int64(size))
	case wire.DoIncr:
		return increment(s, w.Delta)
	case wire.DoExpire:
		return tx.lastUntil(s, w)
	}
	panic("redis: a Write has one of DoRequest's mutations, not " + strconv.Itoa(int(w.Op)))
}

func (tx *Tx) store(s *state, w *Write) wire.Value {
	done, refused := okReply, nilReply
	switch {
	case w.get:
		done = value(s)
		refused = done
	case w.Reply == OutcomeCount:
		done, refused = Number(1), Number(0)
	}
	if w.Cond == wire.DoIfAbsent && s.present || w.Cond == wire.DoIfPresent && !s.present {
		return refused
	}
	if w.KeepExpiry {
		s.become(w.Value)
	} else {
		s.set(w.Value)
	}
	if w.Timed {
		tx.last(s, w.Form, w.Millis)
	}
	return done
}

// lastUntil gives a key an expiry, or takes it away.
func (tx *Tx) lastUntil(s *state, w *Write) wire.Value {
	switch {
	case !s.present, !w.Timed && s.expiry == 0, w.Timed && !w.lets.lets(s.expiry, w.Form.at(w.Millis, tx.Now)):
		return Number(0)
	case w.Timed:
		tx.expire(s, w.Form, w.Millis)
	default:
		s.set(s.value)
	}
	return Number(1)
}
