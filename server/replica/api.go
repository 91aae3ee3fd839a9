package replica

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"viewring/ring"
)

// Instant is a moment as the caller of the core sees it. The core has no clock.
type Instant struct {
	Mono time.Duration // monotonic, runs on in suspend; guards leases and timeouts
	Wall int64         // unix milliseconds; dates request records
}

// Version orders the states of a key: by term, then by seq. The zero Version
// stands for "absent".
type Version struct{ Term, Seq uint64 }

// Compare orders versions.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Term, w.Term), cmp.Compare(v.Seq, w.Seq))
}

// IsZero reports whether v stands for "absent".
func (v Version) IsZero() bool { return v == Version{} }

// Space tells apart what is stored under a slot.
type Space byte

// The spaces of the store. Only user keys are counted and listed to users.
const (
	SpaceUser   Space = 1
	SpaceLocal  Space = 2 // one server's own; never replicated
	SpaceFile   Space = 3
	SpaceChunk  Space = 4
	SpaceMeta   Space = 5 // nodes and directories of the tree of paths (server/tree)
	SpaceSystem Space = 6 // request records, fences
	SpaceOwned  Space = 7 // which nodes of the tree go with which session, and which contents to look after
)

// Key is slot (2 bytes, big endian), space (1 byte) and name: what follows the
// partition in a store key.
type Key string

// keyHeadBytes is the length of slot and space.
const keyHeadBytes = 3

// MakeKey builds a Key.
func MakeKey(slot uint16, space Space, name string) Key {
	b := make([]byte, 0, keyHeadBytes+len(name))
	b = append(b, byte(slot>>8), byte(slot), byte(space))
	return Key(append(b, name...))
}

// Slot returns the key's slot.
func (k Key) Slot() uint16 { return uint16(k[0])<<8 | uint16(k[1]) }

// Space returns the key's space.
func (k Key) Space() Space { return Space(k[2]) }

// Name returns the key's name.
func (k Key) Name() string { return string(k[keyHeadBytes:]) }

// The bits of a place, from the top: slot, space, hash of the name.
const (
	slotBits      = 14
	spaceBits     = 3
	PlaceHashBits = 64 - slotBits - spaceBits
)

// Place is where a key stands in the order of scans: by slot, by space, and then by a hash
// of its name that is the same everywhere. Nobody can make many names of one place.
func (k Key) Place() uint64 { return PlaceOfBytes([]byte(k)) }

// PlaceOfBytes is the Place of a key that is no string.
func PlaceOfBytes(k []byte) uint64 {
	sum := sha256.Sum256(k[keyHeadBytes:])
	return PlaceOf(uint16(k[0])<<8|uint16(k[1]), Space(k[2])) | binary.BigEndian.Uint64(sum[:])>>(slotBits+spaceBits)
}

// PlaceOf is the first place of a slot and space.
func PlaceOf(slot uint16, space Space) uint64 {
	return uint64(slot)<<(spaceBits+PlaceHashBits) | uint64(space)<<PlaceHashBits
}

// Cursor is where a scan goes on: after the keys of lower places, and among those of Place
// after Key. The zero Cursor is the beginning. It means the same in every copy of a
// partition, whatever has become of the keys.
type Cursor struct {
	Place uint64
	Key   Key // "": before all of the place
}

// After is the Cursor that goes on after a key; "" is the beginning.
func After(k Key) Cursor {
	if k == "" {
		return Cursor{}
	}
	return Cursor{k.Place(), k}
}

// Before reports whether a scan that goes on at c tells of the key k.
func (c Cursor) Before(k Key) bool {
	place := k.Place()
	return c.Place < place || c.Place == place && c.Key < k
}

// ComparePlaces orders keys as scans do.
func ComparePlaces(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Place(), b.Place()), cmp.Compare(a, b))
}

// ErrCorrupt is what a Storage wraps when stored bytes fail their checksum.
var ErrCorrupt = errors.New("corrupt value")

// Storage is what the core reads. A Batch handed out in a Ready must be visible
// here before the core is called again; it need not be durable yet.
// Items are encoded (see AppendItem); nobody changes a slice that was returned.
type Storage interface {
	// Get returns the encoded item at key, or nil when there is none. It
	// verifies the checksum.
	Get(p ring.PartitionID, key Key) ([]byte, error)
	// GetPart is Get of a part of a value. It need not read all of the item, or find
	// damage elsewhere in the value; what it returns is verified. item is what Get
	// would return, or nil where not all was read.
	GetPart(p ring.PartitionID, key Key, cut Cut) (pc Piece, item []byte, err error)
	// Scan calls fn with the partition's items from a cursor on, in the order of
	// their places and, within one, of keys, until fn returns false. It need not
	// verify the items: whoever decodes them does.
	Scan(p ring.PartitionID, from Cursor, fn func(key Key, item []byte) bool) error
	// ScanInto is Scan for a page that is read at once. What is read may be put into what room returns: that
	// many bytes, nil where there are none left. The items may be in it.
	ScanInto(p ring.PartitionID, from Cursor, room func(n int) []byte, fn func(key Key, item []byte) bool) error
	// ScanKeys calls fn with the keys that begin with prefix, and perhaps with others of its
	// slot and space or behind those, as Scan does; items need not be read. The name of
	// prefix ends with a byte 0, and has no other.
	ScanKeys(p ring.PartitionID, prefix Key, from Cursor, fn func(key Key) bool) error
	// Index calls fn with the change index's rows whose seq is > after, in
	// order, until fn returns false.
	Index(p ring.PartitionID, after uint64, fn func(seq uint64, row []byte) bool) error
	// Metas calls fn with every partition's stored meta, nil for one that
	// cannot be read, perhaps because there is none, and for one of which it is
	// known that something was lost, and not what.
	Metas(fn func(p ring.PartitionID, meta []byte) bool) error
}

// WriteKind says what a batch's operation does.
type WriteKind uint8

// The operations of a Batch, and which fields of StoreOp each uses.
const (
	PutItem       WriteKind = iota + 1 // Partition, Key, Value, Known
	DeleteItem                         // Partition, Key, Known
	PutIndex                           // Partition, Seq, Value
	TrimIndex                          // Partition, Seq: drops rows with seq ≤ Seq
	CutIndex                           // Partition, Seq: drops rows with seq > Seq
	PutMeta                            // Partition, Value
	WipePartition                      // Partition: drops items, index and meta
)

// Presence is what the core knows of a key that it writes: a storage that is told need
// not look.
type Presence uint8

// What can be known.
const (
	NotKnown Presence = iota
	KnownPresent
	KnownAbsent
)

// presence tells a key that has a version from one that has none.
func presence(v Version) Presence {
	if v.IsZero() {
		return KnownAbsent
	}
	return KnownPresent
}

// StoreOp is one operation of a Batch.
type StoreOp struct {
	Kind      WriteKind
	Partition ring.PartitionID
	Seq       uint64
	Key       Key
	Value     []byte
	Known     Presence
}

// Batch is applied in order and atomically, then synced. Batches become durable
// in the order of their numbers: a crash keeps a prefix.
type Batch struct {
	Number uint64
	Ops    []StoreOp
}

// Ready is what the core wants done. The caller applies Batch (visible at
// once), sends Send, performs Reads and hands them to Served, passes on
// Watched, Fed, Answers and ToLeader, and calls Synced when the batch is durable; it may
// collect further Readys meanwhile.
type Ready struct {
	Batch    *Batch
	Send     []Envelope
	Reads    []Read
	Watched  []Watched // before Answers: who writes, and watches, is told of it first
	Fed      []Fed     // likewise
	Answers  []Answer
	ToLeader []LeaderRequest
	Stops    []time.Duration // how long partitions took no writes that are served again since their acting replicas changed
}

// Envelope is a message and the server it goes to. To may be the sending
// server's own id: no core sends to itself, so that would be a bug.
type Envelope struct {
	To  ring.ServerID
	Msg *Message
}

// RequestID names one operation of one client over all its tries.
type RequestID struct {
	Client [16]byte
	Number uint64 // grows with each operation of the client
	Born   int64  // unix milliseconds of the first try, by the client's clock
}

// IsZero reports whether the request carries no id.
func (id RequestID) IsZero() bool { return id.Number == 0 }

// OpCode says what a Request does.
type OpCode uint8

// The operations. All but the last two are on one key.
const (
	OpSet      OpCode = iota + 1 // Value; Cond
	OpDelete                     // Cond
	OpAppend                     // Value is added at the end; answers the new length
	OpIncr                       // Delta is added to a decimal integer; answers the sum
	OpExpire                     // sets Expiry of a present key, 0 takes it away; answers 1, or 0 when there was none to take away
	OpBatch                      // Checks, then Writes, of several keys of one slot: all of them or nothing
	OpEvaluate                   // Evaluate is shown Keys of one slot, and decides what is written and answered
)

// Cond is a condition on the key's present state.
type Cond uint8

// The conditions of a Request.
const (
	CondNone Cond = iota
	CondAbsent
	CondPresent
	CondVersion // the present version equals Request.Version
)

// KeyCheck is a condition of an OpBatch: the key's present version is this one; the
// zero Version stands for absent or expired.
type KeyCheck struct {
	Key     Key
	Version Version
}

// KeyWrite is what an OpBatch does to a key. Delete of an absent key writes nothing.
type KeyWrite struct {
	Key    Key
	Delete bool
	Value  []byte
	Expiry int64 // unix milliseconds, 0 = never
	TTL    int64 // as in Request
}

// Fence names a lock at the view leader and the token that its holder was granted.
type Fence struct {
	Lock  string
	Token uint64
}

// Request is a client's mutation of one key, or with OpBatch and OpEvaluate of several. What it
// refers to must not be changed before it is answered.
type Request struct {
	Token     uint64 // comes back in the Answer
	Partition ring.PartitionID
	ID        RequestID
	Mark      uint64 // the client has the answers of all its numbers ≤ Mark
	Op        OpCode
	Cond      Cond
	Key       Key
	Value     []byte
	Delta     int64
	Version   Version

	// Expiry is when the key goes, unix milliseconds; 0 = never. OpSet and
	// OpExpire set it; appends and increments keep what is there, and so does
	// an OpSet with KeepExpiry.
	Expiry     int64
	KeepExpiry bool

	// TTL stands for an Expiry that many milliseconds from when the primary
	// takes the request up; 0 = Expiry counts. One that is past makes a key that
	// is expired at once.
	TTL int64

	// Fence, unless zero: the request is refused with StatusFenced, and the highest
	// token in Answer.Number, where the partition has seen a higher token of that
	// lock; else the partition remembers this one, also when the condition fails.
	Fence Fence

	// OpBatch (hole 29): if every check holds at the head of the log, all writes are
	// one entry with one version, Answer.Version; else StatusCondFailed with the
	// version of the first key that failed and the index of its check, Number, and nothing is written. All keys are of
	// one slot, Key is one of them, no key is written twice, and there are at most
	// BatchKeysMax. Values together are bounded like one value, the keys' names by
	// BatchNamesMax. Without writes the answer comes when all that was written to the
	// keys before is committed.
	Checks []KeyCheck
	Writes []KeyWrite

	// OpEvaluate (hole 31): Evaluate is shown what is at Keys at the head of the log. They are
	// of one slot, Key's, and with all that it asks for at most BatchKeysMax. What it writes
	// is bounded like an OpBatch: beyond that nothing is written, and StatusTooLarge is
	// recorded. An Outcome that may not be is refused with StatusBadOutcome. Frees says that it takes no room: it is not refused for want of that. Range,
	// unless nil, is filled.
	Keys     []Key
	Evaluate Evaluation
	Frees    bool
	Range    *Range
}

// Bounds of an OpBatch.
const (
	BatchKeysMax  = 1024
	BatchNamesMax = 256 << 10 // bytes of all names together: each entry's stand in one row of the index
)

// Read is a client's read of one key. In a Ready it asks the caller to fetch
// the item; Served takes it back with Item and Err filled in.
type Read struct {
	Token     uint64
	Partition ring.PartitionID
	Key       Key
	Cut       Cut // which part of the value is wanted; nil: all

	Term      uint64 // filled in by the core
	Confirmed bool   // filled in by the core: the view leader vouched for Term
	phase     readPhase
	since     time.Duration
	after     uint64 // the entry whose commit it waits for: the last of its key when it came

	Item  []byte // filled in by the caller before Served, with Err
	Piece Piece  // instead of Item where there is a Cut
	Err   error
}

// Status is the outcome of a request.
type Status uint8

// The outcomes. From StatusMoved on nothing is recorded for retries.
const (
	StatusOK           Status = iota + 1
	StatusNotFound            // read, delete or OpExpire of an absent key
	StatusCondFailed          // the condition did not hold; Version is the present one
	StatusNotInteger          // OpIncr on something else, or beyond 64 bits
	StatusTooLarge            // the value, or a batch, would exceed the limit
	StatusFenced              // nothing was done; a higher token of the request's lock was seen here, Number
	StatusMoved               // not primary here; nothing was done
	StatusUnavailable         // nothing was done; the partition can't serve now
	StatusTooFewCopies        // nothing was done; fewer than min-copies replicas act
	StatusUnknown             // the write was sequenced but its outcome is unknown
	StatusBusy                // nothing was done; queues are full
	StatusCorrupt             // nothing was done; the stored bytes fail their checksum, and no replica could repair them so far
	StatusExpiredID           // the request id is older than its record would be kept
	StatusFull                // nothing was done; server Number, which can't be done without, has no room
	StatusBadOutcome          // nothing was done; an Evaluation came to what an Outcome may not be
)

// Answer is the outcome of a Request or Read.
type Answer struct {
	Token   uint64
	Status  Status
	Version Version
	Number  int64  // new length (OpAppend), sum (OpIncr), 0 or 1 (OpExpire); with StatusFenced and StatusFull see there; with StatusNotInteger 1 when there was one, near the end of 64 bits
	Value   []byte // reads: the value, or the part that was asked for; aliases the item read
	Length  int    // reads: of the whole value
	Expiry  int64  // reads: unix milliseconds, 0 = never

	Confirmed bool // reads: the view leader vouched for the term, not the lease
}

// LeaderRequestKind says what a core asks of the view leader.
type LeaderRequestKind uint8

// The requests of a core to the view leader.
const (
	AskHandoff LeaderRequestKind = iota + 1 // Partition, Term, Acting
	AskEject                                // Partition, Term, Acting[0] is who goes
	AskConfirm                              // Partition, Term; answered through Confirmed
	AskRestore                              // Partition, Term: our copy has all that was acknowledged
)

// LeaderRequest is a request to the view leader. Handoff, eject and restore are repeated
// by the core until a higher term is seen; confirm is answered once.
type LeaderRequest struct {
	Kind      LeaderRequestKind
	Partition ring.PartitionID
	Term      uint64
	Acting    []ring.Incarnated
	Token     uint64 // AskConfirm: goes back to Confirmed
	CanWait   bool   // AskHandoff: no client waits for it, so it may go out with others
}
