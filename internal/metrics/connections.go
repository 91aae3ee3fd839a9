package metrics

import "viewring/internal/front"

// Connections are the families of who serves RESP connections.
type Connections struct{ open, most, accepted, refused, requests, waits, logins *Family }

// NewConnections declares them, for a kind of process.
func NewConnections(process string) *Connections {
	return &Connections{
		open:     Gauge(process+"_connections", "Connections that are open."),
		most:     Gauge(process+"_connections_limit", "Connections that clients may open."),
		accepted: Counter(process+"_connections_accepted_total", "Connections that were served."),
		refused:  Counter(process+"_connections_refused_total", "Connections that were turned away or cut off, by why: too_many, too_late (no password or whole command in time), not_reading, too_large (a command).", "reason"),
		requests: Counter(process+"_requests_busy_total", "Commands that were answered BUSY because too many bytes were under way."),
		waits:    Counter(process+"_pipeline_waits_total", "Times that a connection was not read for a while, because too much of it was under way."),
		logins:   Counter(process+"_logins_refused_total", "Logins that were refused."),
	}
}

// PutConnections tells them.
func (s *Sink) PutConnections(c *Connections, of *front.Server) {
	r := of.Reached()
	s.Put(c.open, float64(of.Connected()))
	s.Put(c.most, float64(of.Most()))
	s.Put(c.accepted, float64(r.Accepted.Load()))
	s.Put(c.refused, float64(r.Connections.Load()), "too_many")
	s.Put(c.refused, float64(r.Late.Load()), "too_late")
	s.Put(c.refused, float64(r.Cut.Load()), "not_reading")
	s.Put(c.refused, float64(r.Requests.Load()), "too_large")
	s.Put(c.requests, float64(r.Buffers.Load()))
	s.Put(c.waits, float64(r.Pipelines.Load()))
	s.Put(c.logins, float64(r.Logins.Count()))
}
