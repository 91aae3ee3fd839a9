package server

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/store"
)

// linkRequest ends a connection's life as a client's: it goes on as a link.
type linkRequest struct{ hello wire.Hello }

func (*linkRequest) Error() string { return "the connection becomes a link" }

// runLink checks who wants to link; the answer goes out before the first frame is
// read.
func (c *conn) runLink(args [][]byte) error {
	h, err := wire.DecodeHello(args[0])
	if err == nil {
		err = c.s.receiver.Check(&h)
	}
	if err != nil {
		c.replyError(wire.CodeRefused + " " + err.Error())
		return errQuit
	}
	c.replyOK()
	return &linkRequest{hello: h}
}

// runScrub starts a scrub, or says how the last one went.
func (c *conn) runScrub(args [][]byte) error {
	switch strings.ToLower(string(args[0])) {
	case wire.ScrubStart:
		number := c.s.scrubber.Ask()
		c.reply(func(w *wire.Writer) { w.WriteInt(int64(number)) })
	case wire.ScrubStatus:
		r := c.s.scrubber.Report()
		c.replyBulk(wire.AppendScrubReport(nil, &r))
	default:
		c.replyFailed(errors.New("start or status, not " + quote(args[0])))
	}
	return nil
}

// runRebalance holds back the copying in of this server, or lets it go on, and says how it
// goes.
func (c *conn) runRebalance(args [][]byte) error {
	if len(args) == 1 && strings.EqualFold(string(args[0]), wire.RebalanceWaits) {
		r := c.s.mover.Waiting()
		c.replyBulk(wire.AppendRebalanceWaiting(nil, &r))
		return nil
	}
	if len(args) == 1 && strings.EqualFold(string(args[0]), wire.RebalanceStopped) {
		r := c.s.stops.report(c.s.opts.Now().Mono)
		c.replyBulk(wire.AppendRebalanceStops(nil, &r))
		return nil
	}
	if len(args) == 1 && strings.EqualFold(string(args[0]), wire.RebalancePace) {
		r := c.s.mover.Pacing()
		c.replyBulk(wire.AppendRebalancePacing(nil, &r))
		return nil
	}
	change, err := throttleChange(args)
	if err == nil && change != nil {
		err = c.s.mover.ChangeThrottle(c.host(), change)
	}
	if err != nil {
		c.replyFailed(err)
		return nil
	}
	r := c.s.mover.Progress()
	c.replyBulk(wire.AppendRebalanceReport(nil, &r))
	return nil
}

// host is the address of the client's machine.
func (c *conn) host() string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return c.RemoteAddr().String() // of no port, in tests
	}
	return host
}

// throttleChange is what the arguments of VR.REBALANCE change; nil: nothing.
func throttleChange(args [][]byte) (func(*store.Throttle), error) {
	verb := strings.ToLower(string(args[0]))
	if (verb == wire.RebalanceRate) != (len(args) == 2) {
		return nil, errors.New("wrong number of arguments")
	}
	switch verb {
	case wire.RebalanceStatus:
		return nil, nil
	case wire.RebalancePause:
		return func(t *store.Throttle) { t.Paused = true }, nil
	case wire.RebalanceResume:
		return func(t *store.Throttle) { t.Paused = false }, nil
	case wire.RebalanceRate:
		rate, err := strconv.ParseInt(string(args[1]), 10, 64)
		if err != nil || rate < 0 {
			return nil, errors.New("a rate is bytes per second, 0 for no limit, not " + quote(args[1]))
		}
		return func(t *store.Throttle) { t.Rated, t.Rate = true, rate }, nil
	}
	return nil, errors.New("pause, resume, rate, status or waits, not " + quote(args[0]))
}

// fullText says which server keeps a write from being taken.
func (s *Server) fullText(id ring.ServerID) string {
	where := id.String()
	if m := s.views.View().Member(id); m != nil {
		where += " (" + m.Addr + ")"
	}
	return fmt.Sprintf("disk full on server %s: free room or add servers", where)
}
