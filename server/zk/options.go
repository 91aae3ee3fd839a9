package zk

import (
	"cmp"
	"log/slog"
	"net"
	"time"

	"viewring/internal/front"
	"viewring/internal/route"
	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/server/zk/jute"
)

// Bounds of what clients may take, beside those of Options.
const (
	frameMax       = 5 << 20  // bytes of a request: a multi with its values
	connectMax     = 1 << 10  // of the first message
	guestMax       = 4 << 10  // of a request before the password
	guestsMax      = 1000     // connections that have not said it, or opened a session
	wordBytes      = 4        // of a four-letter word, and of a length
	queueMax       = 100      // requests that wait for their turn
	sessionsBurst  = 2000     // that are opened at once,
	sessionsRate   = 200      // and in a second after that
	spare          = 16 << 10 // bytes that a connection may hold whatever the others hold
	totalUsed      = 256 << 20
	childrenMax    = 8 << 20          // bytes of the names of a directory's children, as an answer has them
	watchesMax     = 50_000           // paths that a connection watches
	watchesAll     = 1 << 20          // that all do
	ownedMax       = 10_000           // of a session's nodes, that are removed before its close is answered
	greetingMax    = 10 * time.Second // until the first message has come, and the password
	shakeMax       = 5 * time.Second
	acceptPause    = 50 * time.Millisecond
	finishLook     = 25 * time.Millisecond
	sessionMinUsed = 4 * time.Second  // as ZooKeeper's: twice its tick of 2 s
	sessionMaxUsed = 60 * time.Second // ZooKeeper's is 40 s
)

const _ = uint(wire.TreeItemsMax - jute.ChangesMax) // what is decoded of a multi can be one change

// Options of a Front. Client and Listener are required.
type Options struct {
	Client   *route.Client // of the cluster, with its view leader; outlives the front
	Listener net.Listener  // closed by the front

	Secure secure.Config // what clients must say; the Listener encrypts

	Bounds   Bounds        // of what clients may take; Pipeline and Request have bounds of their own too
	Total    int64         // bytes of requests and answers that all connections hold; default 256 MiB
	Patience time.Duration // with one request, while servers come and go; default 10 s
	Logger   *slog.Logger  // default: none

	// SessionMin and SessionMax bound the time to live that a client may ask for; default 4 s and
	// 60 s.
	SessionMin, SessionMax time.Duration
}

// Bounds of what clients may take. Buffered bounds one connection's answers that it does not read.
type Bounds = front.Bounds

func (o *Options) fill() {
	o.Bounds.Fill()
	o.Bounds.Request = min(o.Bounds.Request, frameMax)
	o.Bounds.Pipeline = min(o.Bounds.Pipeline, queueMax)
	o.Total = cmp.Or(o.Total, totalUsed)
	o.Patience = cmp.Or(o.Patience, 10*time.Second)
	o.SessionMin = cmp.Or(o.SessionMin, sessionMinUsed)
	o.SessionMax = cmp.Or(o.SessionMax, sessionMaxUsed)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}
