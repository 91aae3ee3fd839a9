package redis

import "viewring/internal/wire"

// The commands on keys whatever their values.

// nothing is the Cut of who wants no part of the value.
func nothing(int) (from, to int) { return 0, 0 }

func writeDel(*Command, [][]byte, func() int64) (Write, string) {
	return Write{Op: wire.DoDelete, Reply: OutcomeCount}, ""
}

// evalDel is writeDel of several keys.
func evalDel(tx *Tx, _ *Command, args [][]byte) wire.Value {
	n := int64(0)
	for _, a := range args {
		if s := tx.key(a); s.present {
			s.remove()
			n++
		}
	}
	return Number(n)
}

func readExists([][]byte) (Read, string) {
	return Read{Cut: nothing, Reply: func(f Found) wire.Value {
		if f.Present {
			return Number(1)
		}
		return Number(0)
	}}, ""
}

// evalExists is readExists of several keys.
func evalExists(tx *Tx, _ *Command, args [][]byte) wire.Value {
	n := int64(0)
	for _, a := range args {
		if tx.key(a).present {
			n++
		}
	}
	return Number(n)
}

func readType([][]byte) (Read, string) {
	return Read{Cut: nothing, Reply: func(f Found) wire.Value {
		if f.Present {
			return Simple("string")
		}
		return Simple("none")
	}}, ""
}

func writeExpire(form TimeForm) Writer {
	return func(cmd *Command, args [][]byte, now func() int64) (w Write, errText string) {
		w = Write{Op: wire.DoExpire, Timed: true, Form: form, Reply: OutcomeNumber}
		if w.lets, errText = parseExpire(args[2:]); errText == "" {
			w.Millis, errText = expireTime(cmd, form, args[1], now())
		}
		return w, errText
	}
}

func readTTL(form TimeForm) Reader {
	r := Read{Cut: nothing, Reply: func(f Found) wire.Value {
		return Number(expiryNumber(form, f.Present, f.Expiry, f.Now()))
	}}
	return func([][]byte) (Read, string) { return r, "" }
}

func writePersist(*Command, [][]byte, func() int64) (Write, string) {
	return Write{Op: wire.DoExpire, Reply: OutcomeNumber}, ""
}

func evalRename(tx *Tx, _ *Command, args [][]byte) wire.Value {
	from := tx.key(args[0])
	if !from.present {
		return Fail(errNoKey)
	}
	move(from, tx.key(args[1]))
	return okReply
}

func evalRenameNX(tx *Tx, _ *Command, args [][]byte) wire.Value {
	from, to := tx.key(args[0]), tx.key(args[1])
	if !from.present {
		return Fail(errNoKey)
	}
	if to.present {
		return Number(0)
	}
	move(from, to)
	return Number(1)
}

// move takes value and expiry along; onto itself it changes nothing.
func move(from, to *state) {
	if from == to {
		return
	}
	to.set(from.value)
	to.expiry, to.timed = from.expiry, from.timed
	from.remove()
}
