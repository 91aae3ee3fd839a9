package server

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"viewring/internal/wire"
	"viewring/ring"
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
	verb, t := strings.ToLower(string(args[0])), c.s.mover.Throttle()
	before, rate := t, int64(0)
	var err error
	if verb == wire.RebalanceRate && len(args) == 2 {
		rate, err = strconv.ParseInt(string(args[1]), 10, 64)
	}
	switch {
	case len(args) != 1 && verb != wire.RebalanceRate, len(args) != 2 && verb == wire.RebalanceRate:
		err = errors.New("wrong number of arguments")
	case err != nil || rate < 0:
		err = errors.New("a rate is bytes per second, 0 for no limit, not " + quote(args[1]))
	case verb == wire.RebalancePause:
		t.Paused = true
	case verb == wire.RebalanceResume:
		t.Paused = false
	case verb == wire.RebalanceRate:
		t.Rate = rate
	case verb != wire.RebalanceStatus:
		err = errors.New("pause, resume, rate or status, not " + quote(args[0]))
	}
	if err == nil && t != before {
		err = c.s.mover.SetThrottle(t)
	}
	if err != nil {
		c.replyFailed(err)
		return nil
	}
	r := c.s.mover.Progress()
	c.replyBulk(wire.AppendRebalanceReport(nil, &r))
	return nil
}

// fullText says which server keeps a write from being taken.
func (s *Server) fullText(id ring.ServerID) string {
	where := id.String()
	if m := s.views.View().Member(id); m != nil {
		where += " (" + m.Addr + ")"
	}
	return fmt.Sprintf("disk full on server %s: free room or add servers", where)
}
