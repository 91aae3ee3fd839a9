package redis

import "viewring/internal/wire"

// The commands on keys whatever their values.

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

func evalExists(tx *Tx, _ *Command, args [][]byte) wire.Value {
	n := int64(0)
	for _, a := range args {
		if tx.key(a).present {
			n++
		}
	}
	return Number(n)
}

func evalType(tx *Tx, _ *Command, args [][]byte) wire.Value {
	if tx.key(args[0]).present {
		return Simple("string")
	}
	return Simple("none")
}

func evalExpire(form TimeForm) Evaluator {
	return func(tx *Tx, cmd *Command, args [][]byte) wire.Value {
		o, errText := ParseExpire(args[2:])
		if errText != "" {
			return Fail(errText)
		}
		ms, errText := ExpireTime(cmd, form, args[1], tx.Now)
		if errText != "" {
			return Fail(errText)
		}
		s, at := tx.key(args[0]), form.at(ms, tx.Now)
		if !s.present || !o.lets(s.expiry, at) {
			return Number(0)
		}
		tx.expire(s, form, ms)
		return Number(1)
	}
}

func evalTTL(form TimeForm) Evaluator {
	return func(tx *Tx, _ *Command, args [][]byte) wire.Value {
		s := tx.key(args[0])
		return Number(ExpiryNumber(form, s.present, s.expiry, tx.Now))
	}
}

func evalPersist(tx *Tx, _ *Command, args [][]byte) wire.Value {
	s := tx.key(args[0])
	if !s.present || s.expiry == 0 {
		return Number(0)
	}
	s.set(s.value)
	return Number(1)
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
