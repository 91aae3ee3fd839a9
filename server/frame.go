package server

import (
	"encoding/binary"
	"fmt"
	"sync"

	"viewring/internal/codec"
	"viewring/server/replica"
)

// frameFormat is the first byte of every frame.
const frameFormat = 2 // 2: promises carry the wall clock

// frameHeader is what a frame says before its messages. Cluster, sender and
// incarnation are those of the Hello that opened the link.
type frameHeader struct {
	epoch uint64 // E of the sender, read after the messages were made
	done  uint64 // the sender serves no term below
}

// frameHeaderMax is the longest encoding of a header.
const frameHeaderMax = 1 + 2*binary.MaxVarintLen64

func appendFrameHeader(b []byte, h frameHeader) []byte {
	b = append(b, frameFormat)
	b = binary.AppendUvarint(b, h.epoch)
	return binary.AppendUvarint(b, h.done)
}

// decodeFrame parses a frame. The messages alias b.
func decodeFrame(b []byte) (frameHeader, []*replica.Message, error) {
	var h frameHeader
	r := codec.NewReader(b)
	if f := r.Byte(); r.Err() == nil && f != frameFormat {
		return h, nil, fmt.Errorf("frame: format %d, this build speaks %d", f, frameFormat)
	}
	h.epoch = r.Uvarint()
	h.done = r.Uvarint()
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

// Buffers for messages and replies go round, those of usual size.
const (
	bufferBytesMin = 4 << 10
	bufferBytesMax = 1 << 20
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, bufferBytesMin); return &b }}

func takeBuffer() []byte { return (*buffers.Get().(*[]byte))[:0] }

func giveBuffer(b []byte) {
	if cap(b) <= bufferBytesMax {
		buffers.Put(&b)
	}
}
