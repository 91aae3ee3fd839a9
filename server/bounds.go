package server

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"viewring/internal/wire"
)

// Bounds of what clients may take. The zero value of a field means its default.
type Bounds struct {
	Connections  int           // of clients; default 10,000
	Pipeline     int           // commands of one connection without an answer, beyond which it is not read; default 1024
	Buffered     int64         // bytes of requests and answers that one connection may have under way; default 128 MiB
	Request      int           // bytes of one command; default 64 MiB
	WriteTimeout time.Duration // for a client that does not read its answers; default 10 s
}

// peerConnections are kept free beyond Bounds.Connections, for other servers:
// clients, however many, must not part them.
const peerConnections = 256

func (b *Bounds) fill() {
	if b.Connections == 0 {
		b.Connections = connsMax
	}
	if b.Pipeline == 0 {
		b.Pipeline = callsMax
	}
	if b.Buffered == 0 {
		b.Buffered = connMemoryDefault
	}
	if b.Request == 0 {
		b.Request = wire.DefaultLimits.TotalBytesMax
	}
	if b.WriteTimeout == 0 {
		b.WriteTimeout = writeTimeout
	}
}

// limits are those of a connection's reader.
func (b *Bounds) limits() wire.Limits {
	l := wire.DefaultLimits
	l.TotalBytesMax = b.Request
	l.BulkBytesMax = min(l.BulkBytesMax, b.Request)
	return l
}

// reached counts what clients were refused.
type reached struct {
	connections atomic.Uint64 // turned away
	requests    atomic.Uint64 // too large
	pipelines   atomic.Uint64 // times that a connection was not read for a while
	buffers     atomic.Uint64 // answered "busy": too many bytes under way
	cut         atomic.Uint64 // connections that did not read
}

// String is their part of INFO.
func (r *reached) String() string {
	return fmt.Sprintf("rejected_connections:%d\r\nclient_query_buffer_limit_disconnections:%d\r\nclient_output_buffer_limit_disconnections:%d\r\n"+
		"pipeline_waits:%d\r\nbusy_replies:%d\r\n",
		r.connections.Load(), r.requests.Load(), r.cut.Load(), r.pipelines.Load(), r.buffers.Load())
}

// noteCut counts a write's error that says: the other side does not read.
func (c *conn) noteCut(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.s.reached.cut.Add(1)
		c.s.logger.Warn("a client that does not read was cut off", "peer", c.nc.RemoteAddr())
	}
}

// isForServers reports whether a command is one that a connection may ask which came
// when there were too many: another server's.
func isForServers(cmd *command) bool {
	return cmd == ownCommands[wire.CmdLink] || cmd == ownCommands[wire.CmdViewOf] || cmd == redisCommand("auth")
}
