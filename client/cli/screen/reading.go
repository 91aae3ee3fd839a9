package screen

import (
	"context"
	"time"
)

// Source tells what there is to show. Its methods are called by any goroutine, each by one at a time.
type Source interface {
	// Read asks the cluster how it stands.
	Read(ctx context.Context) (*Reading, error)
	// Ask asks one server, by its name, what only it knows.
	Ask(ctx context.Context, server string) ([]Detail, error)
}

// Tone is how much something should concern people.
type Tone uint8

// The tones.
const (
	Good Tone = iota
	Worrying
	Bad
)

// Reading is what one look at the cluster has shown. It is not changed any more.
type Reading struct {
	At          time.Time
	Sentence    string // whether the data is safe
	Tone        Tone   // of the sentence
	Rebalancing string // how that goes
	Facts       string // of the cluster, in a few words
	Leaders     []Leader
	Problems    []string
	Servers     []Server
}

// Leader is a view leader.
type Leader struct {
	Name string // its address
	Role string // "": one that follows
	Up   bool
}

// Server is one as the table shows it.
type Server struct {
	Name    string // such as s1
	Number  uint64 // its order among the others
	Address string
	State   string
	Tone    Tone
	Zone    string // "": none
	Weight  int
	Primary int // partitions
	Backup  int
	Keys    uint64
	Bytes   uint64
	Size    string // Bytes, for people
	Work    Work
	Copying Copying
	Silent  time.Duration // since its last heartbeat; below 0: there was none
	Details []Detail      // what else it has told, when it is opened
}

// Work is what clients have a server do. Times are bounds; 0: not known.
type Work struct {
	Known     bool
	PerSecond float64
	P50, P99  time.Duration
}

// Copying is what a server still has to copy.
type Copying struct {
	Left int    // partitions; 0: nothing
	Text string // how that goes
}

// Detail is a line about a server.
type Detail struct {
	Name, Text string
	Tone       Tone
}
