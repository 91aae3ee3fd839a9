package server

import (
	"testing"

	"viewring/internal/outcome"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// TestStatusesAsTried has clients take what a server says for what the core meant by
// it. The simulation's clients go by the statuses.
func TestStatusesAsTried(t *testing.T) {
	s := startCluster(t, 1, 4, 1).servers[1]
	c := &conn{s: s}
	for status, want := range map[replica.Status]outcome.Try{
		replica.StatusTooLarge:     outcome.Answered,
		replica.StatusMoved:        outcome.Declined,
		replica.StatusUnavailable:  outcome.Declined,
		replica.StatusTooFewCopies: outcome.Declined,
		replica.StatusBusy:         outcome.Declined,
		replica.StatusFull:         outcome.Declined,
		replica.StatusUnknown:      outcome.Unsure,
		replica.StatusCorrupt:      outcome.Refused,
		replica.StatusExpiredID:    outcome.Refused,
		replica.StatusBadOutcome:   outcome.Refused,
	} {
		cl := &call{conn: c, answer: replica.Answer{Status: status, Number: int64(ring.ServerID(1))}}
		if text := c.errorText(cl); wire.Tried(wire.ParseServerError(text)) != want {
			t.Errorf("status %d, %q: taken for %d, want %d", status, text, wire.Tried(wire.ParseServerError(text)), want)
		}
	}
	for _, status := range []replica.Status{replica.StatusOK, replica.StatusNotFound, replica.StatusCondFailed, replica.StatusNotInteger, replica.StatusFenced} {
		if text := c.errorText(&call{conn: c, answer: replica.Answer{Status: status}}); text != "" {
			t.Errorf("status %d is an error reply: %q", status, text)
		}
	}
}
