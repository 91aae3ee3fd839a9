package wire

import (
	"context"
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
	"viewring/viewleader/vocab"
)

// CmdReport is what a server says to a view leader that has lost its data: one bulk,
// Report → OK.
const CmdReport = "VL.REPORT"

// CodeRecovering is the first word of the answer of a view leader that has lost its
// data, to everything else; the text says whose reports it waits for.
const CodeRecovering = "RECOVERING"

// Report is a server's word on itself, and on the newest view that it ever used.
type Report struct {
	vocab.Register
	View  []byte // whole, as ring.AppendView wrote it; empty: it has none
	Epoch uint64 // the highest that it ever used
	Token uint64 // the highest that its copies know of any lock
}

// AppendReport encodes q.
func AppendReport(b []byte, q *Report) []byte {
	b = append(b, leaderFormat)
	b = codec.AppendBytes(b, AppendRegister(nil, &q.Register))
	b = codec.AppendBytes(b, q.View)
	b = binary.AppendUvarint(b, q.Epoch)
	return binary.AppendUvarint(b, q.Token)
}

// DecodeReport reads what AppendReport wrote; View aliases b.
func DecodeReport(b []byte) (Report, error) {
	var registered error
	q, err := decodeLeader("report", b, func(r *codec.Reader) (q Report) {
		q.Register, registered = DecodeRegister(r.Bytes())
		q.View, q.Epoch, q.Token = r.Bytes(), r.Uvarint(), r.Uvarint()
		return q
	})
	if err == nil {
		err = registered
	}
	return q, err
}

// Report reports to a view leader that is being recovered.
func (l *Leader) Report(ctx context.Context, q Report) error {
	if _, _, err := l.ask(ctx, question{args: [][]byte{[]byte(CmdReport), AppendReport(nil, &q)}}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
