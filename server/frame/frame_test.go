package frame

import (
	"strings"
	"testing"

	"viewring/server/replica"
)

func TestFrameCodec(t *testing.T) {
	b := AppendHeader(nil, Header{Epoch: 9, Done: 8})
	b = replica.AppendMessage(b, &replica.Message{Type: replica.MsgPing, SentAt: 5, Incarnation: 2})
	b = replica.AppendMessage(b, &replica.Message{Type: replica.MsgAck, Partition: 3, Term: 7, Seq: 11})
	h, messages, err := Decode(b)
	if err != nil || h.Epoch != 9 || h.Done != 8 || len(messages) != 2 || messages[1].Seq != 11 {
		t.Fatalf("%+v, %v, %v", h, messages, err)
	}
	for i := range b {
		if _, m, err := Decode(b[:i]); err == nil && len(m) == 2 {
			t.Errorf("%d of %d bytes pass for the whole", i, len(b))
		}
	}
	b[0]++
	if _, _, err := Decode(b); err == nil || !strings.Contains(err.Error(), "format 4, this build speaks 3") {
		t.Errorf("another format: %v", err)
	}
}
