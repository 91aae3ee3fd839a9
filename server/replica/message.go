package replica

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"viewring/internal/codec"
	"viewring/ring"
)

// MsgType says what a Message is; DESIGN.md has the table.
type MsgType uint8

// The messages between servers. The first two are the node's, the others a
// partition's.
const (
	MsgPing MsgType = iota + 1
	MsgPromise
	MsgNewTerm
	MsgState
	MsgSuffixAsk
	MsgSuffix
	MsgAppend
	MsgAck
	MsgSubscribe
	MsgSubscribed
	MsgFetch
	MsgPage
	MsgStray
	MsgPurge
	MsgRepairAsk
	MsgRepair
	msgTypeEnd
)

// String returns the name that DESIGN.md uses.
func (t MsgType) String() string {
	names := [...]string{"?", "Ping", "Promise", "NewTerm", "State", "SuffixAsk", "Suffix", "Append",
		"Ack", "Subscribe", "Subscribed", "Fetch", "Page", "Stray", "Purge", "RepairAsk", "Repair"}
	if int(t) < len(names) {
		return names[t]
	}
	return names[0]
}

// PartitionMessage reports whether a message goes to a lane (and not to the Node).
func PartitionMessage(t MsgType) bool { return t >= MsgNewTerm && t < msgTypeEnd }

// The flags of a Message.
const (
	flagReady   = 1 << iota // Ack, Subscribe: the learner is whole
	flagGap                 // Ack: entries are missing after Seq
	flagFull                // Subscribed: copy everything
	flagDone                // Page: the cursor is at the end
	flagKeys                // Fetch, Page: these keys, not the cursor
	flagBase                // Subscribe: what the learner has can be built upon; Subscribed: it is ready as it is
	flagCorrupt             // Page, Repair: the source cannot read its copy
	flagNoRoom              // Ack, State: the sender's disk is nearly full

	flagOwes = flagDone // Ack, State: the sender has writes to answer that it sequenced as primary
)

// TermStart says that a term wrote the entries from First on, until the next
// TermStart's.
type TermStart struct{ Term, First uint64 }

// Row is a row of the change index.
type Row struct {
	Seq     uint64
	Term    uint64
	Keys    []Key
	Changes []Change // of each key; nil: all were set
}

// change is what became of a row's key.
func (r *Row) change(i int) Change {
	if r.Changes == nil {
		return ChangeSet
	}
	return r.Changes[i]
}

// PageItem is the state of a key at the page's seq; Item is nil when absent.
type PageItem struct {
	Key  Key
	Item []byte
}

// Message is one message between two servers. Which fields are used depends on
// its type; the zero value of the others is not sent.
type Message struct {
	Type      MsgType
	Partition ring.PartitionID
	Term      uint64

	Flags   uint8
	Prev    Version // Append: of the entry before the first; SuffixAsk, Suffix: from
	Last    Version // State, Suffix, Subscribe, Stray: head of the log
	Sub     uint64  // of a subscription: Subscribe, Subscribed, Ack, Append that ends it
	Seq     uint64  // Ack: durable; Subscribed: S; Fetch, RepairAsk: least applied; Page, Repair: q
	Commit  uint64  // Append, State
	Floor   uint64  // State, Subscribe, Subscribed: common point
	Digest  uint64  // at Last, or at Seq (Ack)
	Bytes   uint64  // Fetch: limit; State: microseconds, see stops.go; Page: bytes/s that its receiver may ask for, 0: any, or of an earlier build
	Cursor  Key     // Fetch, Page
	History []TermStart
	Entries []*Entry
	Rows    []Row
	Items   []PageItem
	Keys    []Key  // Fetch, RepairAsk
	Room    []byte // Page, not sent: memory of Items, which may be used again once the message was encoded

	SentAt      time.Duration // Ping, Promise: the pinger's clock
	Incarnation uint64        // Ping, Promise: the pinger's
	Epoch       uint64        // Promise: the giver's E
	Granted     time.Duration // Promise: from its receipt of the ping, by its clock
	Wall        int64         // Promise: the giver's wall clock, unix milliseconds
}

// AppendMessage appends the encoding of m. Its reader checks the length first.
func AppendMessage(b []byte, m *Message) []byte { return appendMessage(b, m, nil) }

// AppendMessageApart is AppendMessage for messages that are sent in pieces. Long items are not copied: for each, lend is
// called with what comes before it and with the item, which stays the core's and never changes, and returns the buffer that is
// appended to from there on.
func AppendMessageApart(b []byte, m *Message, lend func(before, item []byte) (next []byte)) []byte {
	return appendMessage(b, m, lend)
}

func appendMessage(b []byte, m *Message, lend func(before, item []byte) []byte) []byte {
	b = append(b, byte(m.Type))
	if !PartitionMessage(m.Type) {
		b = binary.AppendUvarint(b, uint64(m.SentAt))
		b = binary.AppendUvarint(b, m.Incarnation)
		b = binary.AppendUvarint(b, m.Epoch)
		b = binary.AppendUvarint(b, uint64(m.Granted))
		return binary.AppendVarint(b, m.Wall)
	}
	b = binary.AppendUvarint(b, uint64(m.Partition))
	b = binary.AppendUvarint(b, m.Term)
	b = append(b, m.Flags)
	b = appendVersion(appendVersion(b, m.Prev), m.Last)
	b = binary.AppendUvarint(b, m.Sub)
	b = binary.AppendUvarint(b, m.Seq)
	b = binary.AppendUvarint(b, m.Commit)
	b = binary.BigEndian.AppendUint64(b, m.Digest)
	switch m.Type {
	case MsgAppend:
		b = binary.AppendUvarint(b, uint64(len(m.Entries)))
		for _, e := range m.Entries {
			if lend != nil {
				b = e.appendApart(b, lend)
				continue
			}
			b = codec.AppendBytes(b, e.encoded())
		}
	case MsgAck, MsgNewTerm, MsgStray, MsgPurge, MsgSuffixAsk:
	default:
		b = binary.AppendUvarint(b, m.Floor)
		b = binary.AppendUvarint(b, m.Bytes)
		b = codec.AppendString(b, string(m.Cursor))
		b = appendHistory(b, m.History)
		b = appendRows(b, m.Rows)
		b = appendItems(b, m.Items)
		b = appendKeys(b, m.Keys)
	}
	return b
}

// DecodeMessage reads what AppendMessage wrote. Bytes in the result alias the
// reader's input.
func DecodeMessage(r *codec.Reader) (*Message, error) {
	m := &Message{Type: MsgType(r.Byte())}
	if m.Type == 0 || m.Type >= msgTypeEnd {
		return nil, fmt.Errorf("decode message: unknown type %d", m.Type)
	}
	if !PartitionMessage(m.Type) {
		m.SentAt = time.Duration(r.Uvarint())
		m.Incarnation = r.Uvarint()
		m.Epoch = r.Uvarint()
		m.Granted = time.Duration(r.Uvarint())
		m.Wall = r.Varint()
		return m, wrapDecode(m, r.Err())
	}
	m.Partition = ring.PartitionID(r.Uvarint())
	m.Term = r.Uvarint()
	m.Flags = r.Byte()
	m.Prev, m.Last = readVersion(r), readVersion(r)
	m.Sub = r.Uvarint()
	m.Seq = r.Uvarint()
	m.Commit = r.Uvarint()
	m.Digest = r.Uint64()
	switch m.Type {
	case MsgAppend:
		for n := r.Count(1); n > 0 && r.Err() == nil; n-- {
			e, err := decodeEntry(r.Bytes())
			if err != nil {
				return nil, wrapDecode(m, err)
			}
			m.Entries = append(m.Entries, e)
		}
	case MsgAck, MsgNewTerm, MsgStray, MsgPurge, MsgSuffixAsk:
	default:
		m.Floor = r.Uvarint()
		m.Bytes = r.Uvarint()
		m.Cursor = Key(r.String())
		m.History = readHistory(r)
		m.Rows = readRows(r)
		m.Items = readItems(r)
		m.Keys = readKeys(r)
	}
	return m, wrapDecode(m, r.Err())
}

func wrapDecode(m *Message, err error) error {
	if err != nil {
		return fmt.Errorf("decode %v: %w", m.Type, err)
	}
	return nil
}

func appendVersion(b []byte, v Version) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, v.Term), v.Seq)
}

func readVersion(r *codec.Reader) Version { return Version{Term: r.Uvarint(), Seq: r.Uvarint()} }

func appendHistory(b []byte, hs []TermStart) []byte {
	b = binary.AppendUvarint(b, uint64(len(hs)))
	for _, h := range hs {
		b = binary.AppendUvarint(binary.AppendUvarint(b, h.Term), h.First)
	}
	return b
}

func readHistory(r *codec.Reader) []TermStart {
	n := r.Count(2)
	if n == 0 {
		return nil
	}
	hs := make([]TermStart, n)
	for i := range hs {
		hs[i] = TermStart{Term: r.Uvarint(), First: r.Uvarint()}
	}
	return hs
}

func appendKeys(b []byte, keys []Key) []byte {
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, k := range keys {
		b = codec.AppendString(b, string(k))
	}
	return b
}

func readKeys(r *codec.Reader) []Key {
	n := r.Count(1)
	if n == 0 {
		return nil
	}
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = readKey(r)
	}
	return keys
}

// readKey reads a key that has at least slot and space.
func readKey(r *codec.Reader) Key {
	k := Key(r.String())
	if len(k) < 3 {
		r.Invalid("key of %d bytes", len(k))
	}
	return k
}

func appendRows(b []byte, rows []Row) []byte {
	b = binary.AppendUvarint(b, uint64(len(rows)))
	for _, row := range rows {
		b = binary.AppendUvarint(b, row.Seq)
		b = appendRow(b, row)
	}
	return b
}

// appendRow appends a row as the store keeps it: without its seq.
func appendRow(b []byte, row Row) []byte {
	b = appendKeys(binary.AppendUvarint(b, row.Term), row.Keys)
	b = binary.AppendUvarint(b, uint64(len(row.Changes)))
	for _, c := range row.Changes {
		b = append(b, byte(c))
	}
	return b
}

// readChanges reads what appendRow wrote behind a row's keys.
func readChanges(r *codec.Reader, keys int) []Change {
	n := r.Count(1)
	if n == 0 {
		return nil
	}
	if n != keys {
		r.Invalid("%d changes of %d keys", n, keys)
		return nil
	}
	changes := make([]Change, n)
	for i := range changes {
		if changes[i] = Change(r.Byte()); changes[i] >= changeEnd {
			r.Invalid("change %d", changes[i])
		}
	}
	return changes
}

func readRows(r *codec.Reader) []Row {
	n := r.Count(4)
	if n == 0 {
		return nil
	}
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{Seq: r.Uvarint(), Term: r.Uvarint(), Keys: readKeys(r)}
		rows[i].Changes = readChanges(r, len(rows[i].Keys))
	}
	return rows
}

// decodeRow reads a stored row. One of a build that did not note changes ends with its keys.
func decodeRow(seq uint64, b []byte) (Row, error) {
	r := codec.NewReader(b)
	row := Row{Seq: seq, Term: r.Uvarint(), Keys: readKeys(r)}
	if r.Len() == 0 {
		row.Changes = make([]Change, len(row.Keys))
	} else {
		row.Changes = readChanges(r, len(row.Keys))
	}
	if err := r.Done(); err != nil {
		return Row{}, fmt.Errorf("%w: index row %d: %w", ErrCorrupt, seq, err)
	}
	return row, nil
}

func appendItems(b []byte, items []PageItem) []byte {
	b = slices.Grow(b, pageBytes(items))
	b = binary.AppendUvarint(b, uint64(len(items)))
	for _, it := range items {
		b = codec.AppendString(b, string(it.Key))
		b = codec.AppendBytes(b, it.Item)
	}
	return b
}

// pageBytes is no less than what appendItems adds: a page is long, and a buffer that grows
// with it is copied again and again.
func pageBytes(items []PageItem) int {
	n := binary.MaxVarintLen64
	for i := range items {
		n += len(items[i].Key) + len(items[i].Item) + 2*binary.MaxVarintLen64
	}
	return n
}

// PageBytes is about how long the message is encoded if it is a page, and 0 if it is none.
func (m *Message) PageBytes() int {
	if len(m.Items) == 0 {
		return 0
	}
	return pageBytes(m.Items) + pageHeadBytes
}

// pageHeadBytes is more than a page usually has beside its items.
const pageHeadBytes = 512

func readItems(r *codec.Reader) []PageItem {
	n := r.Count(2)
	if n == 0 {
		return nil
	}
	items := make([]PageItem, n)
	for i := range items {
		items[i] = PageItem{Key: readKey(r), Item: r.Bytes()}
	}
	return items
}

// SaysWhole reports whether the message is a learner's word that its copy is whole and
// durable: it waits for the view that lets it act.
func (m *Message) SaysWhole() bool { return m.Type == MsgAck && m.Flags&flagReady != 0 }
