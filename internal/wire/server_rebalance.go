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
	RebalancePause   = "pause"
	RebalanceResume  = "resume"
	RebalanceRate    = "rate" // and bytes/s, 0: no limit
	RebalanceStatus  = "status"
	RebalanceWaits   = "waits" // → RebalanceWaiting; earlier builds do not know it
	RebalanceStopped = "stops" // → RebalanceStops; likewise
	RebalancePace    = "pace"  // → RebalancePacing; likewise
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

// waitingFormat is the version of RebalanceWaiting.
const waitingFormat = 1

// RebalanceWaiting is what RebalanceReport does not say: its readers of earlier builds take
// nothing more.
type RebalanceWaiting struct {
	Done      uint64    // copies made since it began to lack what is left
	DoneBytes uint64    // likewise
	PausedBy  string    // the address from which it was paused; "": it is not, or was before this start
	PausedAt  time.Time // likewise zero
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

// AppendRebalanceWaiting encodes p.
func AppendRebalanceWaiting(b []byte, p *RebalanceWaiting) []byte {
	b = binary.AppendUvarint(append(b, waitingFormat), p.Done)
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

// DecodeRebalanceWaiting parses what AppendRebalanceWaiting wrote.
func DecodeRebalanceWaiting(b []byte) (RebalanceWaiting, error) {
	var p RebalanceWaiting
	r := codec.NewReader(b)
	if err := expectFormat(r, "waits of rebalancing", waitingFormat); err != nil {
		return p, err
	}
	p.Done, p.DoneBytes, p.PausedBy, p.PausedAt = r.Uvarint(), r.Uvarint(), r.String(), readTime(r)
	for range r.Count(5) {
		p.Waits = append(p.Waits, RebalanceWait{Why: r.Byte(), On: ring.ServerID(r.Uvarint()), Copies: r.Uvarint(),
			Partition: ring.PartitionID(r.Uvarint()), For: time.Duration(r.Varint())})
	}
	if err := r.Done(); err != nil {
		return RebalanceWaiting{}, fmt.Errorf("waits of rebalancing: %w", err)
	}
	return p, nil
}

// stopsFormat is the version of RebalanceStops.
const stopsFormat = 1

// RebalanceStops is how long partitions took no writes because their acting replicas changed, of those that a server is the
// primary of since.
type RebalanceStops struct {
	Count   uint64        // since the server's start
	Longest time.Duration // of them
	Late    time.Duration // the longest of the last ten seconds or so; 0: there was none
}

// AppendRebalanceStops encodes s.
func AppendRebalanceStops(b []byte, s *RebalanceStops) []byte {
	b = binary.AppendUvarint(append(b, stopsFormat), s.Count)
	b = binary.AppendVarint(b, int64(s.Longest))
	return binary.AppendVarint(b, int64(s.Late))
}

// DecodeRebalanceStops parses what AppendRebalanceStops wrote.
func DecodeRebalanceStops(b []byte) (RebalanceStops, error) {
	var s RebalanceStops
	r := codec.NewReader(b)
	if err := expectFormat(r, "stops of partitions", stopsFormat); err != nil {
		return s, err
	}
	s.Count, s.Longest, s.Late = r.Uvarint(), time.Duration(r.Varint()), time.Duration(r.Varint())
	if err := r.Done(); err != nil {
		return RebalanceStops{}, fmt.Errorf("stops of partitions: %w", err)
	}
	return s, nil
}

// pacingFormat is the version of RebalancePacing.
const pacingFormat = 1

// RebalancePacing is how fast a server may copy now, which it decides by how clients fare.
type RebalancePacing struct {
	Allowed  uint64 // bytes/s that it may copy in; 0: any, or it has nothing to copy
	By       uint8  // who holds that back: one of vocab's Held constants
	Gives    uint64 // bytes/s that others may copy from it; 0: any
	Learners uint64 // how many of them do
}

// AppendRebalancePacing encodes p.
func AppendRebalancePacing(b []byte, p *RebalancePacing) []byte {
	b = append(b, pacingFormat)
	for _, n := range []uint64{p.Allowed, uint64(p.By), p.Gives, p.Learners} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// DecodeRebalancePacing parses what AppendRebalancePacing wrote. What a later build says behind
// that is passed over.
func DecodeRebalancePacing(b []byte) (RebalancePacing, error) {
	var p RebalancePacing
	r := codec.NewReader(b)
	if err := expectFormat(r, "pace of rebalancing", pacingFormat); err != nil {
		return p, err
	}
	p.Allowed, p.By, p.Gives, p.Learners = r.Uvarint(), uint8(r.Uvarint()), r.Uvarint(), r.Uvarint()
	if err := r.Err(); err != nil {
		return RebalancePacing{}, fmt.Errorf("pace of rebalancing: %w", err)
	}
	return p, nil
}
