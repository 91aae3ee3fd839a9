package wire

import (
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
)

// What CmdScrub is told to do.
const (
	ScrubStart  = "start"
	ScrubStatus = "status"
)

// scrubFormat is the version of ScrubReport.
const scrubFormat = 1

// ScrubReport is how a server's last scrub went, or goes.
type ScrubReport struct {
	Number       uint64 // of the scrub, since the server's start; 0: there was none
	Running      bool
	Items        uint64 // read: keys and what the server keeps beside them, older versions included
	Bytes        uint64
	Corrupt      uint64 // keys, and partitions with a range that cannot be read
	Repaired     uint64 // of these
	Unrepairable uint64 // of these, once it has ended
	Failed       string // why it ended early
}

// AppendScrubReport encodes p.
func AppendScrubReport(b []byte, p *ScrubReport) []byte {
	b = append(b, scrubFormat)
	b = codec.AppendBool(b, p.Running)
	for _, n := range []uint64{p.Number, p.Items, p.Bytes, p.Corrupt, p.Repaired, p.Unrepairable} {
		b = binary.AppendUvarint(b, n)
	}
	return codec.AppendString(b, p.Failed)
}

// DecodeScrubReport parses what AppendScrubReport wrote.
func DecodeScrubReport(b []byte) (ScrubReport, error) {
	var p ScrubReport
	r := codec.NewReader(b)
	if err := expectFormat(r, "scrub report", scrubFormat); err != nil {
		return p, err
	}
	p.Running = r.Bool()
	for _, n := range []*uint64{&p.Number, &p.Items, &p.Bytes, &p.Corrupt, &p.Repaired, &p.Unrepairable} {
		*n = r.Uvarint()
	}
	p.Failed = r.String()
	if err := r.Done(); err != nil {
		return ScrubReport{}, fmt.Errorf("scrub report: %w", err)
	}
	return p, nil
}
