package redis

import "viewring/internal/wire"

// Tx is a number of keys as commands find them, one after the other, and what the
// commands make of them. Now is the one moment of all: unix milliseconds.
type Tx struct {
	Now           int64
	ValueBytesMax int
	keys          map[string]*state
	order         []*state
	made          int // bytes of the values that commands made
}

// state is a key's. Values that were loaded are never changed in place.
type state struct {
	name    string
	present bool
	value   []byte
	expiry  int64 // unix milliseconds, 0 = never
	timed   bool  // a command gave it expiry as a time from now

	wasPresent, changed bool
	made                int // bytes of the value that a command made
}

// NewTx returns a Tx without keys.
func NewTx(now int64, valueBytesMax int) *Tx {
	return &Tx{Now: now, ValueBytesMax: valueBytesMax, keys: make(map[string]*state)}
}

// Load tells what a key is before the commands; keys that were not loaded are
// absent. value is not kept beyond the Tx, nor changed.
func (tx *Tx) Load(name string, value []byte, expiry int64) {
	s := tx.key([]byte(name))
	s.present, s.wasPresent, s.value, s.expiry = true, true, value, expiry
}

func (tx *Tx) key(name []byte) *state {
	s := tx.keys[string(name)]
	if s == nil {
		s = &state{name: string(name)}
		tx.keys[s.name] = s
		tx.order = append(tx.order, s)
	}
	if s.changed && s.expiry != 0 && s.expiry <= tx.Now {
		s.remove() // a command gave it an expiry that is past
	}
	return s
}

// set gives a key a value that stays.
func (s *state) set(value []byte) {
	s.value = value
	s.present, s.expiry, s.timed, s.changed = true, 0, false, true
}

// become gives a key a value and leaves its expiry.
func (s *state) become(value []byte) {
	s.value = value
	s.present, s.changed = true, true
}

func (s *state) remove() {
	s.present, s.value, s.expiry, s.timed, s.changed = false, nil, 0, false, true
}

// last gives a present key an expiry: ms in form.
func (tx *Tx) last(s *state, form TimeForm, ms int64) {
	s.expiry, s.timed, s.changed = form.at(ms, tx.Now), !form.Absolute, true
}

// expire is last, but what is past removes the key.
func (tx *Tx) expire(s *state, form TimeForm, ms int64) {
	if form.at(ms, tx.Now) <= tx.Now {
		s.remove()
		return
	}
	tx.last(s, form, ms)
}

// Change is what became of a key.
type Change struct {
	Name   string
	Delete bool
	Value  []byte
	Expiry int64 // unix milliseconds, 0 = never
	TTL    int64 // above zero: as many milliseconds from now, instead of Expiry
}

// Changes returns what has to be written, in the order in which the keys were first
// met.
func (tx *Tx) Changes() (changes []Change) {
	for _, s := range tx.order {
		if s.changed && (s.present || s.wasPresent) {
			c := Change{Name: s.name, Delete: !s.present, Value: s.value, Expiry: s.expiry}
			if s.timed {
				c.Expiry, c.TTL = 0, s.expiry-tx.Now
			}
			changes = append(changes, c)
		}
	}
	return changes
}

// madeShare is how many times the longest value commands may make in all: what they change
// is refused as a whole where it is more than one of that length.
const madeShare = 4

// tooLong is the reply where a key's value would grow beyond the limit, or with it all that
// the commands make beyond its share: a few short commands could take gigabytes.
func (tx *Tx) tooLong(s *state, size int) (wire.Value, bool) {
	if size > tx.ValueBytesMax || tx.made-s.made+size > madeShare*tx.ValueBytesMax {
		return Fail(errTooLong), true
	}
	tx.made += size - s.made
	s.made = size
	return wire.Value{}, false
}
