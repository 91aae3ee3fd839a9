package wire

import (
	"encoding/binary"
	"fmt"
	"time"

	"viewring/internal/codec"
)

// What CmdRebalance is told to do.
const (
	RebalancePause  = "pause"
	RebalanceResume = "resume"
	RebalanceRate   = "rate" // and bytes/s, 0: no limit
	RebalanceStatus = "status"
)

// rebalanceFormat is the version of RebalanceReport.
const rebalanceFormat = 1

// RebalanceReport is how a server's copying in goes.
type RebalanceReport struct {
	Paused    bool
	Limit     uint64        // bytes/s; 0: none
	Left      uint64        // partitions that it should hold and does not yet
	Running   uint64        // of them, begun
	Bytes     uint64        // copied since its start
	Rate      uint64        // bytes/s, over the last seconds
	LeftBytes uint64        // a guess; 0: none yet
	TimeLeft  time.Duration // a guess; below 0: none yet
}

// AppendRebalanceReport encodes p.
func AppendRebalanceReport(b []byte, p *RebalanceReport) []byte {
	b = append(b, rebalanceFormat)
	b = codec.AppendBool(b, p.Paused)
	for _, n := range []uint64{p.Limit, p.Left, p.Running, p.Bytes, p.Rate, p.LeftBytes} {
		b = binary.AppendUvarint(b, n)
	}
	return binary.AppendVarint(b, int64(p.TimeLeft))
}

// DecodeRebalanceReport parses what AppendRebalanceReport wrote.
func DecodeRebalanceReport(b []byte) (RebalanceReport, error) {
	var p RebalanceReport
	r := codec.NewReader(b)
	if err := expectFormat(r, "rebalance report", rebalanceFormat); err != nil {
		return p, err
	}
	p.Paused = r.Bool()
	for _, n := range []*uint64{&p.Limit, &p.Left, &p.Running, &p.Bytes, &p.Rate, &p.LeftBytes} {
		*n = r.Uvarint()
	}
	p.TimeLeft = time.Duration(r.Varint())
	if err := r.Done(); err != nil {
		return RebalanceReport{}, fmt.Errorf("rebalance report: %w", err)
	}
	return p, nil
}
