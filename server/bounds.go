package server

import (
	"viewring/internal/front"
	"viewring/server/link"
)

// Bounds of what clients may take.
type Bounds = front.Bounds

// peerConnections are kept free beyond Bounds.Connections, for other servers:
// clients, however many, must not part them.
const peerConnections = 256

// newFrontend is what accepts and bounds the connections of clients and other servers.
func (s *Server) newFrontend() *front.Server {
	o := front.Options{
		Name:   "server",
		Limits: front.Limits{Bounds: s.opts.Bounds, Reserved: peerConnections, Total: s.budget.Requests(), PeerTimeout: link.Timeout},
		Secure: s.opts.Secure, Logger: s.logger, Open: s.newConn,
	}
	if s.opts.Limits != nil {
		s.opts.Limits(&o.Limits)
	}
	return front.New(s.ctx, o)
}
