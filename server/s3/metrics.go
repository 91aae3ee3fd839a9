package s3

import (
	"net/http"
	"time"

	"viewring/internal/metrics"
)

// operationNames are the operations that are counted apart, by their numbers; 0 is for all others.
var (
	operationNames   = []string{"other"}
	operationNumbers = make(map[string]int)
)

func init() {
	for _, o := range operations {
		operationNumbers[o.name] = len(operationNames)
		operationNames = append(operationNames, o.name)
	}
}

// What requests came to, for who counts them.
const (
	endedOK = iota
	endedDenied
	endedClient
	endedServer
)

var endedNames = [...]string{endedOK: "ok", endedDenied: "denied", endedClient: "client_error", endedServer: "server_error"}

// count counts a request that was answered.
func (h *Handler) count(q *request, err error, took time.Duration) {
	ended := endedOK
	if err != nil {
		switch f := told(err); {
		case f.status >= http.StatusInternalServerError:
			ended = endedServer
		case f.status == http.StatusForbidden:
			ended = endedDenied
		case f.status >= http.StatusBadRequest:
			ended = endedClient
		}
	}
	h.ops.Done(uint64(len(q.path)), operationNumbers[q.operation], ended, took)
}

var requestFamilies = metrics.NewCommands("s3", "requests", "operation", "outcome", "From the head of a request of S3 to the end of its answer.")

// Collect tells the figures of the handler.
func (h *Handler) Collect(to *metrics.Sink) {
	for number, name := range operationNames {
		if c := h.ops.Counts(number); c.Count() > 0 {
			to.PutCommand(requestFamilies, name, &c, func(i int) string { return endedNames[i] })
		}
	}
}
