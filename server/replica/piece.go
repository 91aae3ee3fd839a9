package replica

// Cut says which bytes of a value of some length are wanted: from … to.
type Cut func(length int) (from, to int)

// Nothing is the Cut of who wants to know of a value only that it is there, its length, or
// until when.
func Nothing(int) (from, to int) { return 0, 0 }

// Piece is what is told of an item of which a part of the value is wanted. The zero Piece
// stands for an absent key.
type Piece struct {
	Item       // Value is the part
	Length int // of the whole value, bytes
}

// CutItem verifies an encoded item, nil for an absent key, and cuts a piece out of it, which
// aliases it. Its errors wrap ErrCorrupt.
func CutItem(key Key, item []byte, cut Cut) (pc Piece, err error) {
	if item == nil {
		return pc, nil
	}
	if pc.Item, err = DecodeItem(key, item); err == nil {
		pc.cut(cut)
	}
	return pc, err
}

// cut makes of a piece that is a whole item what is wanted; nil: all.
func (pc *Piece) cut(cut Cut) {
	if pc.Length = len(pc.Value); cut != nil {
		from, to := cut(pc.Length)
		pc.Value = pc.Value[from:to]
	}
}

// ItemHead reads what an item has before its value, of which b has more or less, and says
// where that begins. It verifies nothing. Its errors wrap ErrCorrupt.
func ItemHead(b []byte) (it Item, valueAt int, err error) {
	it, sumAt, err := header(b)
	it.Value = nil
	return it, sumAt + 8, err
}

// found is what the storage had for a read.
func (r *Read) found() (pc Piece, err error) {
	switch {
	case r.Err != nil:
		return pc, r.Err
	case r.Cut != nil:
		return r.Piece, nil
	}
	return CutItem(r.Key, r.Item, nil)
}

// answer is what a reader is told.
func (pc *Piece) answer() Answer {
	if pc.Version.IsZero() {
		return Answer{Status: StatusNotFound}
	}
	return Answer{Status: StatusOK, Version: pc.Version, Value: pc.Value, Length: pc.Length, Expiry: pc.Expiry}
}

// again is the read from the beginning.
func (r *Read) again() Read {
	r.become(readArrived)
	return Read{Token: r.Token, Partition: r.Partition, Key: r.Key, Cut: r.Cut}
}

// getPart is get of a part of a value.
func (p *part) getPart(key Key, cut Cut) (Piece, error) {
	if p.inBatch(key) {
		return CutItem(key, p.core.overlay[itemID{p.id, key}], cut)
	}
	pc, _, err := p.core.st.GetPart(p.id, key, cut)
	return pc, err
}
