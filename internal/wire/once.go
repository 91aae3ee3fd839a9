package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
)

// CmdOnce carries a Redis command under a request id, so that a client may send
// it again after its connection broke: Once, name, arguments → the command's own
// reply, that of the first try; where that is an error, CodeAnswered is before it, for
// other errors say nothing of tries before. It is for commands that are one mutation
// of one key; others are refused.
const CmdOnce = "VR.ONCE"

// onceFormat is the version of Once.
const onceFormat = 1

// Once is the request id of a command; its fields are those of a DoRequest.
type Once struct {
	Client [16]byte
	Number uint64 // not 0
	Born   int64  // unix milliseconds
	Mark   uint64
}

// AppendOnce encodes o.
func AppendOnce(b []byte, o *Once) []byte {
	b = append(b, onceFormat)
	b = append(b, o.Client[:]...)
	b = binary.AppendUvarint(b, o.Number)
	b = binary.AppendUvarint(b, uint64(o.Born))
	return binary.AppendUvarint(b, o.Mark)
}

// DecodeOnce parses what AppendOnce wrote.
func DecodeOnce(b []byte) (Once, error) {
	var o Once
	r := codec.NewReader(b)
	if err := expectFormat(r, "request id", onceFormat); err != nil {
		return o, err
	}
	r.Fixed(o.Client[:])
	o.Number = r.Uvarint()
	o.Born = int64(r.Uvarint())
	o.Mark = r.Uvarint()
	if err := r.Done(); err != nil {
		return o, fmt.Errorf("request id: %w", err)
	}
	if o.Number == 0 {
		return o, fmt.Errorf("request id: %w: number 0", codec.ErrMalformed)
	}
	return o, nil
}

// answeredPrefix begins an error reply to CmdOnce that is the command's own answer.
const answeredPrefix = "-" + CodeAnswered + " "

// TrimAnswered returns a reply to CmdOnce, as on the wire, as the command's own. It
// may change reply.
func TrimAnswered(reply []byte) []byte {
	if !bytes.HasPrefix(reply, []byte(answeredPrefix)) {
		return reply
	}
	reply = reply[len(answeredPrefix)-1:]
	reply[0] = answeredPrefix[0]
	return reply
}
