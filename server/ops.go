package server

import (
	"errors"
	"fmt"
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

// fullText says which server keeps a write from being taken.
func (s *Server) fullText(id ring.ServerID) string {
	where := id.String()
	if m := s.views.View().Member(id); m != nil {
		where += " (" + m.Addr + ")"
	}
	return fmt.Sprintf("disk full on server %s: free room or add servers", where)
}
