package wire

import (
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
	"viewring/ring"
)

// The commands of a server. Those that carry a bulk name the type below that
// builds and parses it.
const (
	CmdDo        = "VR.DO"        // DoRequest → DoReply, or an error reply: nothing is known of the key then
	CmdViewOf    = "VR.VIEW"      // args: since epoch → the server's view, whole or delta (ring.AppendView); nil when it has none newer
	CmdPrint     = "VR.PRINT"     // args: text → OK; the server prints it on its console
	CmdLSet      = "VR.LSET"      // args: name, value → OK; the server's own namespace, never replicated
	CmdLGet      = "VR.LGET"      // args: name → value or nil
	CmdKeys      = "VR.KEYS"      // args: cursor ("" first), limit → KeysPage
	CmdCopies    = "VR.COPIES"    // args: partition, cursor ("" first), limit → CopiesPage
	CmdParts     = "VR.PARTS"     // no argument → the partitions that the store holds any key of (DecodeParts)
	CmdScrub     = "VR.SCRUB"     // args: start → the number of the scrub; or status → ScrubReport, of the last one
	CmdRebalance = "VR.REBALANCE" // args: pause, resume, rate and bytes/s, or status → RebalanceReport; waits → RebalanceWaiting
	CmdScan      = "VR.SCAN"      // args: those of SCAN → as SCAN, but only up to where the server's partitions end
	CmdWhole     = "VR.WHOLE"     // args: epoch, DBSIZE or FLUSHALL → the command's reply, or WholeAgain
	CmdWatch     = "VR.WATCH"     // WatchRequest → OK, then a push for each Told
	CmdUnwatch   = "VR.UNWATCH"   // args: the watch's ID → OK, whether or not there is one
	CmdLink      = "VR.LINK"      // Hello → OK, then a one-way stream of frames
	CmdFrame     = "VR.FRAME"     // one bulk, on a link only, without a reply: server to server
)

// WholeAgain is the reply to CmdWhole of a server that is in another view, or does not
// serve all that it is primary of: nothing is known of the whole, ask all again.
const WholeAgain = "AGAIN"

// doFormat is the version of DoRequest and DoReply; pageFormat that of the pages;
// helloFormat that of Hello and of the frames that follow it.
const (
	doFormat    = 2
	pageFormat  = 1
	helloFormat = 2
)

// PageItemsMax bounds the limit of a KEYS or COPIES page.
const PageItemsMax = 10_000

// DoOp says what a DoRequest does.
type DoOp uint8

// The operations of a DoRequest.
const (
	DoGet    DoOp = iota // the value, or DoNotFound
	DoSet                // Value; Cond
	DoDelete             // Cond
	DoAppend             // Value is added at the end; answers the new length
	DoIncr               // Delta is added to a decimal integer; answers the sum
	DoExpire             // TTL or Expiry of a present key, both 0: none; answers 1, or 0 when there was none before either
	doOpEnd
)

// DoCond is a condition on the key's present state.
type DoCond uint8

// The conditions of a DoRequest.
const (
	DoAlways DoCond = iota
	DoIfAbsent
	DoIfPresent
	DoIfVersion // the present version equals Term and Seq
	doCondEnd
)

// DoRequest is one operation on one key. Retries of an operation carry the same
// Client and Number; a get carries none.
type DoRequest struct {
	Client [16]byte
	Number uint64 // grows with each mutation of the client; 0: no request id
	Born   int64  // unix milliseconds of the first try
	Mark   uint64 // the client has the answers of all its numbers ≤ Mark
	Op     DoOp
	Cond   DoCond
	Key    []byte
	Value  []byte
	Delta  int64
	Term   uint64 // DoIfVersion
	Seq    uint64

	// When the key goes: Expiry is absolute, unix milliseconds, 0 = never. TTL, if
	// not 0, is counted in milliseconds from when the primary takes the request
	// up, and goes before Expiry. A DoSet with KeepExpiry keeps what is there.
	Expiry     int64
	TTL        int64
	KeepExpiry bool

	// A mutation under a lock, unless FenceLock is empty: it is done only where no
	// higher token of that lock was seen.
	FenceLock  string
	FenceToken uint64
}

// FenceLockBytesMax bounds the name of a lock, as the view leader does.
const FenceLockBytesMax = 1024

// What the last byte of an encoded DoRequest says.
const (
	doKeepExpiry = 1 << iota
	doFence      // a lock and a token follow
	doFlagsEnd
)

// AppendDoRequest encodes q.
func AppendDoRequest(b []byte, q *DoRequest) []byte {
	b = append(b, doFormat, byte(q.Op), byte(q.Cond))
	b = binary.AppendUvarint(b, q.Number)
	if q.Number != 0 {
		b = append(b, q.Client[:]...)
		b = binary.AppendUvarint(b, uint64(q.Born))
		b = binary.AppendUvarint(b, q.Mark)
	}
	b = codec.AppendBytes(b, q.Key)
	b = codec.AppendBytes(b, q.Value)
	b = binary.AppendUvarint(b, uint64(q.Delta))
	b = binary.AppendUvarint(b, q.Term)
	b = binary.AppendUvarint(b, q.Seq)
	b = binary.AppendVarint(b, q.Expiry)
	b = binary.AppendVarint(b, q.TTL)
	flags := byte(0)
	if q.KeepExpiry {
		flags |= doKeepExpiry
	}
	if q.FenceLock == "" {
		return append(b, flags)
	}
	b = codec.AppendString(append(b, flags|doFence), q.FenceLock)
	return binary.AppendUvarint(b, q.FenceToken)
}

// DecodeDoRequest parses what AppendDoRequest wrote. Key and Value alias b.
func DecodeDoRequest(b []byte) (DoRequest, error) {
	var q DoRequest
	r := codec.NewReader(b)
	if err := expectFormat(r, "request", doFormat); err != nil {
		return q, err
	}
	q.Op = DoOp(r.Byte())
	q.Cond = DoCond(r.Byte())
	q.Number = r.Uvarint()
	if q.Number != 0 {
		r.Fixed(q.Client[:])
		q.Born = int64(r.Uvarint())
		q.Mark = r.Uvarint()
	}
	q.Key = r.Bytes()
	q.Value = r.Bytes()
	q.Delta = int64(r.Uvarint())
	q.Term = r.Uvarint()
	q.Seq = r.Uvarint()
	q.Expiry = r.Varint()
	q.TTL = r.Varint()
	flags := r.Byte()
	q.KeepExpiry = flags&doKeepExpiry != 0
	if flags&doFence != 0 {
		q.FenceLock, q.FenceToken = r.String(), r.Uvarint()
	}
	if err := r.Done(); err != nil {
		return q, fmt.Errorf("request: %w", err)
	}
	if q.Op >= doOpEnd || q.Cond >= doCondEnd || flags >= doFlagsEnd {
		return q, fmt.Errorf("request: %w: operation %d, condition %d, flags %d", codec.ErrMalformed, q.Op, q.Cond, flags)
	}
	if n := len(q.FenceLock); flags&doFence != 0 && (n == 0 || n > FenceLockBytesMax || q.Op == DoGet) {
		return q, fmt.Errorf("request: %w: operation %d under a lock's name of %d bytes", codec.ErrMalformed, q.Op, n)
	}
	return q, nil
}

// DoStatus is the outcome that a DoReply carries. What a server refuses, or does
// not know, is an error reply instead.
type DoStatus uint8

// The outcomes of a DoReply.
const (
	DoOK         DoStatus = iota + 1
	DoNotFound            // get, delete or expire of an absent key
	DoCondFailed          // the condition did not hold; Term and Seq are the present version; of CmdAtomic see there
	DoNotInteger          // DoIncr on something else, or beyond 64 bits
	DoFenced              // a higher token of the lock was seen, Number; nothing was done
	doStatusEnd
)

// DoReply is the answer to a DoRequest.
type DoReply struct {
	Status DoStatus
	Term   uint64 // the version; 0, 0 when absent
	Seq    uint64
	Number int64  // new length (DoAppend), sum (DoIncr), 0 or 1 (DoExpire); the token (DoFenced)
	Value  []byte // DoGet
	Expiry int64  // DoGet: unix milliseconds, 0 = never
}

// AppendDoReply encodes p.
func AppendDoReply(b []byte, p *DoReply) []byte {
	b = append(b, doFormat, byte(p.Status))
	b = binary.AppendUvarint(b, p.Term)
	b = binary.AppendUvarint(b, p.Seq)
	b = binary.AppendUvarint(b, uint64(p.Number))
	b = binary.AppendVarint(b, p.Expiry)
	return codec.AppendBytes(b, p.Value)
}

// DecodeDoReply parses what AppendDoReply wrote. Value aliases b.
func DecodeDoReply(b []byte) (DoReply, error) {
	var p DoReply
	r := codec.NewReader(b)
	if err := expectFormat(r, "reply", doFormat); err != nil {
		return p, err
	}
	p.Status = DoStatus(r.Byte())
	p.Term = r.Uvarint()
	p.Seq = r.Uvarint()
	p.Number = int64(r.Uvarint())
	p.Expiry = r.Varint()
	p.Value = r.Bytes()
	if err := r.Done(); err != nil {
		return p, fmt.Errorf("reply: %w", err)
	}
	if p.Status == 0 || p.Status >= doStatusEnd {
		return p, fmt.Errorf("reply: %w: status %d", codec.ErrMalformed, p.Status)
	}
	return p, nil
}

// Hello opens a link: who speaks, to whom, in which cluster.
type Hello struct {
	Cluster     [16]byte
	From        ring.ServerID
	Incarnation uint64
	Addr        string        // where the sender listens, to be asked for views
	To          ring.ServerID // a server at a reused address refuses what was not meant for it
}

// AppendHello encodes h.
func AppendHello(b []byte, h *Hello) []byte {
	b = append(b, helloFormat)
	b = append(b, h.Cluster[:]...)
	b = binary.AppendUvarint(b, uint64(h.From))
	b = binary.AppendUvarint(b, h.Incarnation)
	b = codec.AppendString(b, h.Addr)
	return binary.AppendUvarint(b, uint64(h.To))
}

// DecodeHello parses what AppendHello wrote.
func DecodeHello(b []byte) (Hello, error) {
	var h Hello
	r := codec.NewReader(b)
	if err := expectFormat(r, "hello", helloFormat); err != nil {
		return h, err
	}
	r.Fixed(h.Cluster[:])
	h.From = ring.ServerID(r.Uvarint())
	h.Incarnation = r.Uvarint()
	h.Addr = r.String()
	h.To = ring.ServerID(r.Uvarint())
	if err := r.Done(); err != nil {
		return h, fmt.Errorf("hello: %w", err)
	}
	return h, nil
}

// StoredName is a name that a server's store holds.
type StoredName struct {
	Local bool // in the server's own namespace; else a replicated key
	Name  string
}

// KeysPage is a page of the names in a store, in the store's order.
type KeysPage struct {
	Next  []byte // the cursor of the next page; empty after the last
	Names []StoredName
}

// AppendKeysPage encodes p.
func AppendKeysPage(b []byte, p *KeysPage) []byte {
	b = append(b, pageFormat)
	b = codec.AppendBytes(b, p.Next)
	b = binary.AppendUvarint(b, uint64(len(p.Names)))
	for _, n := range p.Names {
		b = codec.AppendBool(b, n.Local)
		b = codec.AppendString(b, n.Name)
	}
	return b
}

// DecodeKeysPage parses what AppendKeysPage wrote.
func DecodeKeysPage(b []byte) (KeysPage, error) {
	var p KeysPage
	r := codec.NewReader(b)
	if err := expectFormat(r, "keys page", pageFormat); err != nil {
		return p, err
	}
	p.Next = r.Bytes()
	p.Names = make([]StoredName, r.Count(2))
	for i := range p.Names {
		p.Names[i] = StoredName{Local: r.Bool(), Name: r.String()}
	}
	if err := r.Done(); err != nil {
		return KeysPage{}, fmt.Errorf("keys page: %w", err)
	}
	return p, nil
}

// StoredCopy is one server's copy of a user key, as read from its store now.
type StoredCopy struct {
	Key       string
	Term, Seq uint64 // its version
	Length    uint64 // of the value
	Sum       uint64 // xxhash64 of the value's bytes, computed for this answer
	Corrupt   bool   // the stored bytes fail their checksum; the fields above but Key are 0
}

// CopiesPage is a page of the user keys that a store holds in one partition,
// whatever the server's role for it.
type CopiesPage struct {
	Next   []byte // the cursor of the next page; empty after the last
	Copies []StoredCopy
}

// AppendCopiesPage encodes p.
func AppendCopiesPage(b []byte, p *CopiesPage) []byte {
	b = append(b, pageFormat)
	b = codec.AppendBytes(b, p.Next)
	b = binary.AppendUvarint(b, uint64(len(p.Copies)))
	for i := range p.Copies {
		c := &p.Copies[i]
		b = codec.AppendString(b, c.Key)
		b = binary.AppendUvarint(b, c.Term)
		b = binary.AppendUvarint(b, c.Seq)
		b = binary.AppendUvarint(b, c.Length)
		b = binary.AppendUvarint(b, c.Sum)
		b = codec.AppendBool(b, c.Corrupt)
	}
	return b
}

// DecodeCopiesPage parses what AppendCopiesPage wrote.
func DecodeCopiesPage(b []byte) (CopiesPage, error) {
	var p CopiesPage
	r := codec.NewReader(b)
	if err := expectFormat(r, "copies page", pageFormat); err != nil {
		return p, err
	}
	p.Next = r.Bytes()
	p.Copies = make([]StoredCopy, r.Count(6))
	for i := range p.Copies {
		p.Copies[i] = StoredCopy{
			Key: r.String(), Term: r.Uvarint(), Seq: r.Uvarint(),
			Length: r.Uvarint(), Sum: r.Uvarint(), Corrupt: r.Bool(),
		}
	}
	if err := r.Done(); err != nil {
		return CopiesPage{}, fmt.Errorf("copies page: %w", err)
	}
	return p, nil
}

// AppendParts encodes the answer to CmdParts.
func AppendParts(b []byte, parts []ring.PartitionID) []byte {
	return appendPartitions(append(b, pageFormat), parts)
}

func appendPartitions(b []byte, ps []ring.PartitionID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ps)))
	for _, p := range ps {
		b = binary.AppendUvarint(b, uint64(p))
	}
	return b
}

// DecodeParts parses what AppendParts wrote.
func DecodeParts(b []byte) ([]ring.PartitionID, error) {
	r := codec.NewReader(b)
	if err := expectFormat(r, "partitions", pageFormat); err != nil {
		return nil, err
	}
	parts := make([]ring.PartitionID, r.Count(1))
	for i := range parts {
		parts[i] = ring.PartitionID(r.Uvarint())
	}
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("partitions: %w", err)
	}
	return parts, nil
}

// expectFormat takes the format version off the front of r; another version than
// ours is refused by name.
func expectFormat(r *codec.Reader, what string, want byte) error {
	if got := r.Byte(); r.Err() == nil && got != want {
		return fmt.Errorf("%s: format %d, this build speaks %d", what, got, want)
	}
	return nil
}
