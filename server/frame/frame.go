// Package frame is what servers send each other over a link, in bytes: a header, and
// messages of the replication protocol one behind the other, sent in one system call.
// It owns the buffers that messages are encoded into and that go round. No goroutine runs
// in it; buffers may be taken and given by any.
package frame

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"

	"viewring/internal/codec"
	"viewring/server/replica"
)

// BytesMax is how much is gathered into one frame; a single message may be longer.
const BytesMax = 4 << 20

// format is the first byte of every frame.
const format = 3 // 2: promises carry the wall clock; 3: entries and rows say what became of keys

// Header is what a frame says before its messages. Cluster, sender and
// incarnation are those of the Hello that opened the link.
type Header struct {
	Epoch uint64 // E of the sender, read after the messages were made
	Done  uint64 // the sender serves no term below
}

// HeaderBytesMax is the longest encoding of a header.
const HeaderBytesMax = 1 + 2*binary.MaxVarintLen64

// AppendHeader begins a frame: messages follow (replica.AppendMessage).
func AppendHeader(b []byte, h Header) []byte {
	b = append(b, format)
	b = binary.AppendUvarint(b, h.Epoch)
	return binary.AppendUvarint(b, h.Done)
}

// Decode parses a frame. The messages alias b. Its errors say what is wrong with b.
func Decode(b []byte) (Header, []*replica.Message, error) {
	var h Header
	r := codec.NewReader(b)
	if f := r.Byte(); r.Err() == nil && f != format {
		return h, nil, fmt.Errorf("frame: format %d, this build speaks %d", f, format)
	}
	h.Epoch = r.Uvarint()
	h.Done = r.Uvarint()
	var messages []*replica.Message
	for r.Err() == nil && r.Len() > 0 {
		m, err := replica.DecodeMessage(r)
		if err != nil {
			return h, nil, fmt.Errorf("frame: %w", err)
		}
		messages = append(messages, m)
	}
	if err := r.Done(); err != nil {
		return h, nil, fmt.Errorf("frame: %w", err)
	}
	return h, messages, nil
}

// Buffers for messages and replies go round. Long ones do by length: what is short should not take
// one, and a page should not have to make its own.
const (
	bufferBytesMin = 4 << 10
	longBits       = 17 // the least long buffer has 1<<longBits bytes
	longClasses    = 4  // each twice as long as the one before; what is longer is not kept
)

var (
	buffers = sync.Pool{New: func() any { b := make([]byte, 0, bufferBytesMin); return &b }}
	longs   [longClasses]sync.Pool
)

// TakeBuffer returns an empty buffer. Whoever has it last gives it back.
func TakeBuffer() []byte { return (*buffers.Get().(*[]byte))[:0] }

// takeLong returns an empty buffer with room for n bytes.
func takeLong(n int) []byte {
	class := max(0, bits.Len(uint(n-1))-longBits)
	if class >= longClasses {
		return make([]byte, 0, n)
	}
	if b, ok := longs[class].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 1<<(longBits+class))
}

// roomBytes is enough for the records of a page of the usual length (replica.Config).
const roomBytes = 640 << 10

// TakeRoom returns memory for a page that is being read. It goes back by GiveBuffer.
func TakeRoom() []byte {
	b := takeLong(roomBytes)
	return b[:cap(b)]
}

// GiveBuffer takes a buffer back that nobody looks at any more.
func GiveBuffer(b []byte) {
	class := bits.Len(uint(cap(b))) - 1 - longBits // all of a class have room for what is asked of it
	switch {
	case class < 0:
		buffers.Put(&b)
	case class < longClasses:
		longs[class].Put(&b)
	}
}
