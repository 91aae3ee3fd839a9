package front

import (
	"cmp"
	"fmt"
	"sync/atomic"
	"time"

	"viewring/internal/secure"
	"viewring/internal/wire"
)

// Bounds are those of the limits that operators choose. The zero value of a field means
// its default.
type Bounds struct {
	Connections  int           // of clients; default 10,000
	Pipeline     int           // commands of one connection without an answer, beyond which it is not read; default 1024
	Buffered     int64         // bytes of requests and answers that one connection may have under way; default 128 MiB
	Request      int           // bytes of one command; default 64 MiB
	WriteTimeout time.Duration // for a client that does not read its answers; default 10 s
}

// Fill sets what is zero to its default.
func (b *Bounds) Fill() {
	b.Connections = cmp.Or(b.Connections, 10_000)
	b.Pipeline = cmp.Or(b.Pipeline, 1024)
	b.Buffered = cmp.Or(b.Buffered, 128<<20)
	b.Request = cmp.Or(b.Request, wire.DefaultLimits.TotalBytesMax)
	b.WriteTimeout = cmp.Or(b.WriteTimeout, 10*time.Second)
}

// Limits are all limits of a Server. Zero fields of Bounds must have been filled; of the
// others, 0 means the default, and no reserve.
type Limits struct {
	Bounds

	// Reserved connections are accepted beyond Connections, for peers: other processes of
	// the cluster. Whoever comes on one must show within PeerTimeout that it is a peer.
	Reserved int

	// Total bounds the bytes of requests and answers that all connections may have under
	// way; default 512 MiB. Each may have Spare bytes whatever the others have; default 0.
	Total, Spare int64

	// Guests bounds the connections together that have not shaken hands, or said the
	// password, or shown to be a peer's on a place for peers; default 1,000.
	Guests int

	// Reading bounds the parts of commands that are not complete, of all connections, beyond
	// 64 KiB of each: where more come, the command that began first is given up. Default Total.
	Reading int64

	// Reader bounds the parts of one command, which are no larger than Request; default
	// wire.DefaultLimits, with as many bytes in all as Request says.
	Reader wire.Limits

	// PasswordTimeout is for the TLS handshake and the password; default 10 s.
	PasswordTimeout time.Duration
	PeerTimeout     time.Duration // default 5 s

	// RequestTimeout is for the rest of a command of which a part has come; default 30 s.
	// It is longer by a second for each requestRate bytes that have come.
	RequestTimeout time.Duration
}

// guestLimits are those of a command before the password, as in Redis.
func (l *Limits) guestLimits() wire.Limits {
	g := l.Reader
	g.ArgsMax, g.BulkBytesMax = min(g.ArgsMax, guestArgsMax), min(g.BulkBytesMax, guestBytesMax)
	g.TotalBytesMax, g.LineBytesMax = min(g.TotalBytesMax, guestBytesMax), min(g.LineBytesMax, guestBytesMax)
	return g
}

const (
	guestArgsMax  = 10
	guestBytesMax = 16 << 10
)

// requestRate is how many bytes a second are fast enough for a long command.
const requestRate = 64 << 10

func (l *Limits) fill() {
	l.Total = cmp.Or(l.Total, 512<<20)
	l.Reading = cmp.Or(l.Reading, l.Total)
	l.Guests = cmp.Or(l.Guests, min(1000, (l.Connections+l.Reserved+1)/2))
	if l.Reader == (wire.Limits{}) {
		l.Reader = wire.DefaultLimits
		l.Reader.TotalBytesMax = l.Request // larger too: a command of many values
	}
	l.Reader.TotalBytesMax = min(l.Reader.TotalBytesMax, l.Request)
	l.Reader.BulkBytesMax = min(l.Reader.BulkBytesMax, l.Request)
	l.PasswordTimeout = cmp.Or(l.PasswordTimeout, 10*time.Second)
	l.PeerTimeout = cmp.Or(l.PeerTimeout, 5*time.Second)
	l.RequestTimeout = cmp.Or(l.RequestTimeout, 30*time.Second)
}

// Reached counts how often clients met a limit. Its fields may be read at any time.
type Reached struct {
	Accepted    atomic.Uint64   // connections that were served
	Connections atomic.Uint64   // connections turned away: too many, or no peer on one for peers
	Requests    atomic.Uint64   // connections closed: too large a command
	Late        atomic.Uint64   // connections closed: no password, or no whole command, in time
	Cut         atomic.Uint64   // connections closed: the client did not read
	Pipelines   atomic.Uint64   // times that a connection was not read for a while
	Buffers     atomic.Uint64   // commands refused: too many bytes under way
	Logins      secure.Refusals // logins refused: a wrong password, or a certificate that is not believed
}

// met counts, and has the log say so where that was not said in the last metEvery.
func (s *Server) met(counter *atomic.Uint64, limit string) {
	counter.Add(1)
	now := time.Now().UnixNano()
	if quiet := s.quiet.Load(); now >= quiet && s.quiet.CompareAndSwap(quiet, now+int64(metEvery)) {
		r := &s.reached
		s.opts.Logger.Warn("clients reach limits", "limit", limit, "connections_refused", r.Connections.Load(),
			"requests_too_large", r.Requests.Load(), "late", r.Late.Load(), "not_reading", r.Cut.Load(), "busy_replies", r.Buffers.Load())
	}
}

// metEvery is the time between words on limits that are reached.
const metEvery = 10 * time.Second

// String is their part of INFO. Most are called as in Redis.
func (r *Reached) String() string {
	return fmt.Sprintf("rejected_connections:%d\r\nclient_query_buffer_limit_disconnections:%d\r\nclient_output_buffer_limit_disconnections:%d\r\n"+
		"pipeline_waits:%d\r\nbusy_replies:%d\r\nlate_disconnections:%d\r\nacl_access_denied_auth:%d\r\n",
		r.Connections.Load(), r.Requests.Load(), r.Cut.Load(), r.Pipelines.Load(), r.Buffers.Load(), r.Late.Load(), r.Logins.Count())
}
