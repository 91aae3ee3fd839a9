package play

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viewring/client/bulk"
)

// Summary holds the figures of a script that loaded a folder.
type Summary struct {
	Files       int     `json:"files"`
	Bytes       int64   `json:"bytes"`
	LoadSeconds float64 `json:"load_seconds"`
	ReadBack    int64   `json:"read_back"`
	Epochs      uint64  `json:"epochs"`
	SlotsMoved  int     `json:"slots_moved"`
	SlotsNeeded int     `json:"slots_needed"`
	Rebalanced  []Span  `json:"rebalanced"`
	Requests    uint64  `json:"requests"`
	Retried     uint64  `json:"retried"`
	Failed      int     `json:"failed"`
	LongestMS   int64   `json:"longest_ms"`
	Lost        int     `json:"lost"`
}

// Span is how long the cluster took to be balanced after changes.
type Span struct {
	After   string  `json:"after"`
	Seconds float64 `json:"seconds"`
}

var errNoSummary = errors.New("a summary needs a cluster and a load")

func (p *Player) summaryVerb(_ context.Context, _ []string) (string, error) {
	if p.cluster == nil || p.load == nil {
		return "", errNoSummary
	}
	s := p.sumUp()
	p.summary = s
	p.say("files        %d, %.1f MiB, loaded in %.1f s, %d read back at random meanwhile", s.Files, float64(s.Bytes)/(1<<20), s.LoadSeconds, s.ReadBack)
	p.say("epochs       %d", s.Epochs)
	ratio := 0.0
	if s.SlotsNeeded > 0 {
		ratio = float64(s.SlotsMoved) / float64(s.SlotsNeeded)
	}
	p.say("slots moved  %d; the theoretical minimum is %d (%.3f of it)", s.SlotsMoved, s.SlotsNeeded, ratio)
	for _, b := range s.Rebalanced {
		p.say("rebalanced   %.1f s after %s", b.Seconds, b.After)
	}
	p.say("requests     %d made, %d retried, %d failed, the longest took %v", s.Requests, s.Retried, s.Failed, time.Duration(s.LongestMS)*time.Millisecond)
	p.say("keys lost    %d", s.Lost)
	if s.Failed > 0 || s.Lost > 0 {
		return "", fmt.Errorf("%d requests failed, %d keys lost", s.Failed, s.Lost)
	}
	return "", nil
}

func (p *Player) sumUp() *Summary {
	p.load.mu.Lock()
	defer p.load.mu.Unlock()
	stats := p.client.Stats()
	copied, needed, slots, epochs := p.recorder.moved()
	s := &Summary{
		Files: len(p.load.stored), Bytes: p.load.bytes.Load(), LoadSeconds: p.load.took.Seconds(), ReadBack: p.load.checked.Load(),
		Epochs: epochs, SlotsMoved: copied * slots, SlotsNeeded: needed * slots,
		Requests: stats.Requests, Retried: stats.Retries, LongestMS: stats.Longest.Milliseconds(),
	}
	for _, b := range p.spans {
		s.Rebalanced = append(s.Rebalanced, Span{b.After, b.Took.Seconds()})
	}
	s.Failed = len(p.load.failed)
	for _, w := range p.load.wrong {
		p.tally(s, w)
	}
	return s
}

// tally counts a read that went wrong: as lost when the store answered wrong,
// as failed when it did not answer.
func (p *Player) tally(s *Summary, w bulk.Problem) {
	p.say("%s: %s (%v)", w.Name, w.What, w.Err)
	if w.Err != nil {
		s.Failed++
		return
	}
	s.Lost++
}
