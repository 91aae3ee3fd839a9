package wire

import (
	"encoding/binary"
	"fmt"
	"time"

	"viewring/internal/codec"
	"viewring/ring"
)

// What CmdRebalance is told to do.
const (
	RebalancePause  = "pause"
	RebalanceResume = "resume"
	RebalanceRate   = "rate" // and bytes/s, 0: no limit
	RebalanceStatus = "status"
)

// The versions of RebalanceReport. A reader takes either, a server of before sends the first.
const (
	rebalanceFormat      = 2
	rebalanceFormatFirst = 1 // neither what is done nor who is waited for
)

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
	Done      uint64        // copies made since it began to lack what is left
	DoneBytes uint64        // likewise
	PausedBy  string        // the address from which it was paused; "": it is not, or nobody knows
	PausedAt  time.Time     // likewise zero
	Waits     []RebalanceWait
}

// RebalanceWait is why copies do not come.
type RebalanceWait struct {
	Why       uint8         // one of vocab's Waiting constants
	On        ring.ServerID // who is waited for; 0: nobody in particular
	Copies    uint64
	Partition ring.PartitionID // of one of them
	For       time.Duration    // the longest
}

// AppendRebalanceReport encodes p.
func AppendRebalanceReport(b []byte, p *RebalanceReport) []byte {
	b = append(b, rebalanceFormat)
	b = codec.AppendBool(b, p.Paused)
	for _, n := range []uint64{p.Limit, p.Left, p.Running, p.Bytes, p.Rate, p.LeftBytes} {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendVarint(b, int64(p.TimeLeft))
	b = binary.AppendUvarint(b, p.Done)
	b = binary.AppendUvarint(b, p.DoneBytes)
	b = codec.AppendString(b, p.PausedBy)
	b = appendTime(b, p.PausedAt)
	b = binary.AppendUvarint(b, uint64(len(p.Waits)))
	for _, w := range p.Waits {
		b = append(b, w.Why)
		for _, n := range []uint64{uint64(w.On), w.Copies, uint64(w.Partition)} {
			b = binary.AppendUvarint(b, n)
		}
		b = binary.AppendVarint(b, int64(w.For))
	}
	return b
}

// DecodeRebalanceReport parses what AppendRebalanceReport wrote.
func DecodeRebalanceReport(b []byte) (RebalanceReport, error) {
	var p RebalanceReport
	r := codec.NewReader(b)
	format := r.Byte()
	if r.Err() == nil && format != rebalanceFormat && format != rebalanceFormatFirst {
		return p, fmt.Errorf("rebalance report: format %d, this build reads %d and %d", format, rebalanceFormatFirst, rebalanceFormat)
	}
	p.Paused = r.Bool()
	for _, n := range []*uint64{&p.Limit, &p.Left, &p.Running, &p.Bytes, &p.Rate, &p.LeftBytes} {
		*n = r.Uvarint()
	}
	p.TimeLeft = time.Duration(r.Varint())
	if format > rebalanceFormatFirst {
		p.Done, p.DoneBytes = r.Uvarint(), r.Uvarint()
		p.PausedBy, p.PausedAt = r.String(), readTime(r)
		for range r.Count(5) {
			p.Waits = append(p.Waits, RebalanceWait{Why: r.Byte(), On: ring.ServerID(r.Uvarint()), Copies: r.Uvarint(),
				Partition: ring.PartitionID(r.Uvarint()), For: time.Duration(r.Varint())})
		}
	}
	if err := r.Done(); err != nil {
		return RebalanceReport{}, fmt.Errorf("rebalance report: %w", err)
	}
	return p, nil
}
