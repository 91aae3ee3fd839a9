package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"viewring/internal/codec"
	"viewring/ring"
)

// CmdChunk is about one chunk of a file's content: ChunkRequest → DoReply, or an error reply. It
// goes to the primary of the chunk's slot.
const CmdChunk = "VR.CHUNK"

const chunkFormat = 1

// Content is where a content is: the slot in which its record lies, and the version of the
// log entry that began it. No other content of that slot ever has the same.
type Content struct {
	Home    uint16
	Version TreeVersion
}

// Chunk is one chunk of a content.
type Chunk struct {
	Content
	Index uint32
}

// chunkNameBytes is the length of a chunk's name.
const chunkNameBytes = 2 + 8 + 8 + 4

// Name is the name under which a chunk is stored.
func (c *Chunk) Name() string {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, chunkNameBytes), c.Home)
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, c.Version.Term), c.Version.Seq)
	return string(binary.BigEndian.AppendUint32(b, c.Index))
}

// Slot is the slot in which a chunk is stored: by a hash of its name, so that the chunks of a
// content are spread over all partitions.
func (c *Chunk) Slot() uint16 { return uint16(xxhash.Sum64String(c.Name()) % ring.Slots) }

// ParseChunkName reads what Name returned.
func ParseChunkName(name string) (c Chunk, ok bool) {
	if len(name) != chunkNameBytes {
		return c, false
	}
	b := []byte(name)
	c.Home = binary.BigEndian.Uint16(b)
	c.Version = TreeVersion{binary.BigEndian.Uint64(b[2:]), binary.BigEndian.Uint64(b[10:])}
	c.Index = binary.BigEndian.Uint32(b[18:])
	return c, c.Home < ring.Slots
}

// ChunkOp says what a ChunkRequest does.
type ChunkOp uint8

// The operations of a ChunkRequest.
const (
	ChunkGet    ChunkOp = iota // Offset, Length → the bytes
	ChunkPut                   // Value, if the chunk is absent
	ChunkDelete                // once its content has ended
	chunkOpEnd
)

// Mutates reports whether the operation changes something: it has a request id then.
func (o ChunkOp) Mutates() bool { return o != ChunkGet }

// ChunkRequest is one operation on one chunk. Retries carry the same Client and Number.
type ChunkRequest struct {
	Client [16]byte
	Number uint64
	Born   int64
	Mark   uint64

	Op             ChunkOp
	Chunk          Chunk
	Offset, Length int64 // Length 0: to the end
	Value          []byte
}

// AppendChunkRequest encodes q.
func AppendChunkRequest(b []byte, q *ChunkRequest) []byte {
	b = append(b, chunkFormat, byte(q.Op))
	b = binary.AppendUvarint(b, q.Number)
	if q.Number != 0 {
		b = append(b, q.Client[:]...)
		b = binary.AppendUvarint(b, uint64(q.Born))
		b = binary.AppendUvarint(b, q.Mark)
	}
	b = appendTreeVersion(binary.AppendUvarint(b, uint64(q.Chunk.Home)), q.Chunk.Version)
	b = binary.AppendUvarint(b, uint64(q.Chunk.Index))
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(q.Offset)), uint64(q.Length))
	return codec.AppendBytes(b, q.Value)
}

// DecodeChunkRequest parses what AppendChunkRequest wrote. Value aliases b.
func DecodeChunkRequest(b []byte) (ChunkRequest, error) {
	var q ChunkRequest
	r := codec.NewReader(b)
	if err := expectFormat(r, "chunk request", chunkFormat); err != nil {
		return q, err
	}
	q.Op = ChunkOp(r.Byte())
	q.Number = r.Uvarint()
	if q.Number != 0 {
		r.Fixed(q.Client[:])
		q.Born = int64(r.Uvarint())
		q.Mark = r.Uvarint()
	}
	home := r.Uvarint()
	q.Chunk.Version = readTreeVersion(r)
	index := r.Uvarint()
	q.Chunk.Home, q.Chunk.Index = uint16(home), uint32(index)
	offset, length := r.Uvarint(), r.Uvarint()
	q.Offset, q.Length = int64(offset), int64(length)
	q.Value = r.Bytes()
	if err := r.Done(); err != nil {
		return q, fmt.Errorf("chunk request: %w", err)
	}
	if q.Op >= chunkOpEnd || q.Op.Mutates() != (q.Number != 0) || home >= ring.Slots || index > 1<<32-1 || offset > ValueBytesMax || length > ValueBytesMax {
		return q, fmt.Errorf("chunk request: %w: operation %d with request number %d on chunk %d at home %d", codec.ErrMalformed, q.Op, q.Number, index, home)
	}
	return q, nil
}

// CmdLook is about one server's own copy of a chunk, or of a file's entry: LookRequest → LookReply, read from
// the store and verified now, whatever the server's role. A damaged one is repaired from other copies
// after that.
const CmdLook = "VR.LOOK"

const lookFormat = 1

// LookRequest says which copy.
type LookRequest struct {
	Chunk     Chunk
	Dir, Name string // of an entry; without a name it is the chunk
}

// AppendLookRequest encodes q.
func AppendLookRequest(b []byte, q *LookRequest) []byte {
	b = codec.AppendString(codec.AppendString(append(b, lookFormat), q.Dir), q.Name)
	b = appendTreeVersion(binary.AppendUvarint(b, uint64(q.Chunk.Home)), q.Chunk.Version)
	return binary.AppendUvarint(b, uint64(q.Chunk.Index))
}

// DecodeLookRequest parses what AppendLookRequest wrote.
func DecodeLookRequest(b []byte) (q LookRequest, err error) {
	r := codec.NewReader(b)
	if err := expectFormat(r, "look request", lookFormat); err != nil {
		return q, err
	}
	q.Dir, q.Name = r.String(), r.String()
	home := r.Uvarint()
	q.Chunk.Version = readTreeVersion(r)
	index := r.Uvarint()
	q.Chunk.Home, q.Chunk.Index = uint16(home), uint32(index)
	if home >= ring.Slots || index > 1<<32-1 {
		r.Invalid("chunk %d at home %d", index, home)
	}
	if err := r.Done(); err != nil {
		return q, fmt.Errorf("look request: %w", err)
	}
	return q, nil
}

// LookReply is what a server has.
type LookReply struct {
	Found, Corrupt bool // one at most
	Version        TreeVersion
	Length         int64  // of the value
	Sum            uint64 // xxhash64 of the value
}

// AppendLookReply encodes p.
func AppendLookReply(b []byte, p *LookReply) []byte {
	b = codec.AppendBool(codec.AppendBool(append(b, lookFormat), p.Found), p.Corrupt)
	b = binary.AppendUvarint(appendTreeVersion(b, p.Version), uint64(p.Length))
	return binary.BigEndian.AppendUint64(b, p.Sum)
}

// DecodeLookReply parses what AppendLookReply wrote.
func DecodeLookReply(b []byte) (p LookReply, err error) {
	r := codec.NewReader(b)
	if err := expectFormat(r, "look reply", lookFormat); err != nil {
		return p, err
	}
	p.Found, p.Corrupt = r.Bool(), r.Bool()
	p.Version = readTreeVersion(r)
	p.Length, p.Sum = int64(r.Uvarint()), r.Uint64()
	if err := r.Done(); err != nil {
		return p, fmt.Errorf("look reply: %w", err)
	}
	return p, nil
}
