package frame

import (
	"net"

	"viewring/server/replica"
)

// Messages are encoded messages, one behind the other. Long items of theirs are not copied. One goroutine at
// a time uses them.
type Messages struct {
	Count int

	pieces [][]byte
	ours   []bool // of pieces: they are buffers that go round
	bytes  int
}

// MessagesIn are messages that are encoded already, in a buffer of this package.
func MessagesIn(b []byte, count int) *Messages {
	return &Messages{Count: count, pieces: [][]byte{b}, ours: []bool{true}, bytes: len(b)}
}

// Append adds a message. What it points to must not change any more.
func (ms *Messages) Append(m *replica.Message) {
	n := len(ms.pieces)
	var b []byte
	if n > 0 && ms.ours[n-1] {
		b, n = ms.pieces[n-1], n-1
		ms.bytes -= len(b)
	} else {
		b = TakeBuffer()
	}
	ms.pieces, ms.ours = ms.pieces[:n], ms.ours[:n]
	if need := m.PageBytes(); need > cap(b)-len(b) { // else what is there would be copied, again with each page
		if len(b) > 0 {
			ms.add(b, true)
		} else {
			GiveBuffer(b)
		}
		b = takeLong(need)
	}
	b = replica.AppendMessageApart(b, m, func(before, item []byte) []byte {
		ms.add(before, true)
		ms.add(item, false)
		return TakeBuffer()
	})
	ms.add(b, true)
	ms.Count++
}

func (ms *Messages) add(b []byte, ours bool) {
	ms.pieces, ms.ours, ms.bytes = append(ms.pieces, b), append(ms.ours, ours), ms.bytes+len(b)
}

// Bytes is how long they are together.
func (ms *Messages) Bytes() int { return ms.bytes }

// AppendTo adds them to what is to be written.
func (ms *Messages) AppendTo(out net.Buffers) net.Buffers { return append(out, ms.pieces...) }

// Give gives their buffers back, once they were written or dropped.
func (ms *Messages) Give() {
	for i, b := range ms.pieces {
		if ms.ours[i] {
			GiveBuffer(b)
		}
	}
	*ms = Messages{}
}
