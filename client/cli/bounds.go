package cli

import (
	"time"

	"github.com/spf13/cobra"
)

// Bounds are the flags that bound what clients may take.
type Bounds struct {
	Connections  int
	Pipeline     int
	Buffered     int64 // bytes
	Request      int   // bytes
	WriteTimeout time.Duration
}

// boundsFlags adds the flags.
func boundsFlags(cmd *cobra.Command, b *Bounds) {
	f := cmd.Flags()
	f.IntVar(&b.Connections, "max-connections", 10_000, "turn clients away beyond this `number` of connections")
	f.IntVar(&b.Pipeline, "max-pipeline", 1024, "stop reading a connection while this `number` of its commands have no answer")
	f.Int64Var(&b.Buffered, "max-buffered", 128<<20, "`bytes` of requests and answers that one connection may have under way")
	f.IntVar(&b.Request, "max-request", 64<<20, "hang up on a command of more `bytes`")
	f.DurationVar(&b.WriteTimeout, "write-timeout", 10*time.Second, "cut off a client that reads nothing for this long")
}

func (b *Bounds) check() error {
	switch {
	case b.Connections < 1 || b.Pipeline < 1:
		return usagef("--max-connections and --max-pipeline must be above 0")
	case b.Buffered < 1<<20 || b.Request < 64<<10:
		return usagef("--max-buffered must be at least 1048576, and --max-request 65536")
	case b.WriteTimeout < 100*time.Millisecond:
		return usagef("--write-timeout must be at least 100ms, not %v", b.WriteTimeout)
	}
	return nil
}
