package viewleader

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/viewleader/roster"
)

// handler serves one command: it must not wait, and finishes the reply when it
// can. args alias the reader's buffer.
type handler struct {
	argsMin, argsMax int
	serve            func(c *conn, r *reply, args [][]byte)
}

var handlers = map[string]handler{
	wire.CmdRegister:  {1, 1, (*conn).register},
	wire.CmdHeartbeat: {1, 1, (*conn).heartbeat},
	wire.CmdView:      {2, 2, (*conn).view},
	wire.CmdChange:    {1, 1, (*conn).change},
	wire.CmdConfirm:   {1, 1, (*conn).confirm},
	wire.CmdMember:    {2, 2, (*conn).member},
	wire.CmdPlace:     {3, 3, (*conn).place},
	wire.CmdStatus:    {0, 0, (*conn).status},
	wire.CmdLockGet:   {4, 8, (*conn).lockGet},
	wire.CmdLockFree:  {2, 3, (*conn).lockFree},
	wire.CmdSession:   {2, 3, (*conn).session},
	wire.CmdLocks:     {0, 1, (*conn).locks},
	wire.CmdLoss:      {1, 1, (*conn).acceptLoss},
	wire.CmdEvents:    {2, 2, (*conn).events},
	wire.CmdElections: {1, 1, (*conn).elections},
	wire.CmdJoin:      {1, 1, (*conn).join},
	wire.CmdPeer:      {1, 1, (*conn).peer},
	wire.CmdReport:    {1, 1, (*conn).report},
	wire.CmdGroup:     {0, 0, (*conn).groupOf},
	wire.CmdGroupSet:  {2, 2, (*conn).groupSet},
	wire.CmdVLAbout:   {0, 0, (*conn).about},
	"PING":            {0, 1, (*conn).ping},
	"QUIT":            {0, 0, (*conn).quit},
	"COMMAND":         {0, limits.ArgsMax, (*conn).command},
}

// anyones are the commands that every view leader answers; the others are the head's.
var anyones = map[string]bool{wire.CmdJoin: true, wire.CmdPeer: true, wire.CmdGroup: true, wire.CmdReport: true, wire.CmdElections: true, wire.CmdVLAbout: true, "PING": true, "QUIT": true, "COMMAND": true}

// meanwhile are the commands of a view leader that is being recovered.
var meanwhile = map[string]bool{wire.CmdReport: true, wire.CmdVLAbout: true, "PING": true, "QUIT": true, "COMMAND": true}

// identified are the commands that may carry an id; doing the others twice is as
// doing them once.
var identified = map[string]bool{wire.CmdMember: true, wire.CmdPlace: true, wire.CmdLockFree: true, wire.CmdLoss: true}

// refuse answers with what the roster said.
func refuse(r *reply, res roster.Result) {
	code := wire.CodeRefused
	switch res.Code {
	case roster.Locked:
		code = wire.CodeLocked
	case roster.NotHeld:
		code = wire.CodeNotHeld
	case roster.Deadlock:
		code = wire.CodeDeadlock
	case roster.NoSession:
		code = wire.CodeNoSession
	}
	r.fail(code, res.Reason)
}

// failed answers a command that was not decided. One that the service stops
// under gets no answer: its client asks again.
func failed(r *reply, err error) {
	var reply *wire.ServerError
	switch {
	case errors.Is(err, errStopped):
	case errors.Is(err, errNotHead):
		r.fail(wire.CodeNotHead, "")
	case errors.Is(err, errUnsure):
		r.fail(wire.CodeUnknownOutcome, err.Error())
	case errors.As(err, &reply):
		r.fail(reply.Code, reply.Message)
	default:
		r.fail(wire.CodeErr, err.Error())
	}
}

func (c *conn) ping(r *reply, args [][]byte) {
	if len(args) == 1 {
		r.bulk(append([]byte(nil), args[0]...))
		return
	}
	r.finish(func(w *wire.Writer) { w.WriteSimple("PONG") })
}

func (c *conn) quit(r *reply, _ [][]byte) {
	r.finish(func(w *wire.Writer) { w.WriteSimple("OK") })
}

// command satisfies redis-cli, which asks for the list of commands first.
func (c *conn) command(r *reply, _ [][]byte) {
	r.finish(func(w *wire.Writer) { w.WriteArray(0) })
}

func (c *conn) heartbeat(r *reply, args [][]byte) {
	h, err := wire.DecodeHeartbeat(args[0])
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	p := c.s.published.Load()
	m := p.member(h.ID)
	present := m != nil && m.Incarnation == h.Incarnation && m.Instance == h.Instance
	if present && h.Epoch > p.view.Epoch {
		c.s.overtaken(&h, p.view.Epoch)
	}
	if present {
		c.s.beats.heard(c, &h)
	}
	answer := wire.HeartbeatReply{Epoch: p.view.Epoch, Known: present && m.Up, Every: c.s.opts.Heartbeat}
	r.bulk(wire.AppendHeartbeatReply(nil, &answer))
}

func (c *conn) view(r *reply, args [][]byte) {
	since, err := strconv.ParseUint(string(args[0]), 10, 64)
	wait, werr := milliseconds(args[1])
	if err != nil || werr != nil {
		r.fail(wire.CodeErr, "want an epoch and milliseconds")
		return
	}
	c.s.views.wait(r, since, wait, c.s.opts.Now())
}

// milliseconds reads a time, which may be negative; a very long one counts as a year.
func milliseconds(arg []byte) (time.Duration, error) {
	ms, err := strconv.ParseInt(string(arg), 10, 64)
	if err != nil {
		return 0, err
	}
	const year = 365 * 24 * time.Hour
	return time.Duration(max(-1, min(ms, year.Milliseconds()))) * time.Millisecond, nil
}

func (c *conn) change(r *reply, args [][]byte) {
	changes, err := wire.DecodeChanges(args[0])
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	if len(changes) > roster.PartitionsMax {
		r.fail(wire.CodeErr, fmt.Sprintf("%d changes: want at most %d", len(changes), roster.PartitionsMax))
		return
	}
	if len(changes) == 0 {
		r.bulk(wire.AppendChangeResults(nil, nil))
		return
	}
	for i := range changes {
		if changeKinds[changes[i].Kind] == 0 {
			r.fail(wire.CodeErr, fmt.Sprintf("unknown change %d", changes[i].Kind))
			return
		}
	}
	results := make([]wire.ChangeResult, len(changes))
	left := len(changes) // the Raft loop's from the first submit on
	for i := range changes {
		cmd := changeCommand(&changes[i])
		c.s.submit(proposal{cmd: cmd, linger: true, done: func(res roster.Result, err error) {
			if err != nil {
				failed(r, err)
				return
			}
			results[i] = wire.ChangeResult{Done: res.Code == roster.Done, Epoch: res.Epoch, Reason: res.Reason}
			if left--; left == 0 {
				r.bulk(wire.AppendChangeResults(nil, results))
			}
		}})
	}
}

// changeKinds names what servers ask for as the roster knows it.
var changeKinds = map[wire.ChangeKind]roster.Kind{
	wire.ChangeHandoff: roster.KindHandoff, wire.ChangeEject: roster.KindEject, wire.ChangeRestore: roster.KindRestore,
}

func changeCommand(ch *wire.Change) roster.Command {
	return roster.Command{Kind: changeKinds[ch.Kind], From: ch.From, Partition: ch.Partition, Term: ch.Term, Who: ch.Acting}
}

func (c *conn) confirm(r *reply, args [][]byte) {
	questions, err := wire.DecodeConfirms(args[0])
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	c.s.ask(func(s *roster.State, err error) {
		if err != nil {
			failed(r, err)
			return
		}
		v := s.View()
		answers := make([]byte, len(questions))
		for i, q := range questions {
			if int64(q.Partition) < int64(len(v.Partitions)) && v.Partitions[q.Partition].Term == q.Term {
				answers[i] = 1
			}
		}
		r.bulk(answers)
	})
}

func (c *conn) member(r *reply, args [][]byte) {
	kinds := map[string]roster.Kind{
		wire.MemberLeave: roster.KindLeave, wire.MemberDrain: roster.KindDrain, wire.MemberUndrain: roster.KindUndrain, wire.MemberRemove: roster.KindRemove,
	}
	kind, ok := kinds[string(args[0])]
	if !ok {
		r.fail(wire.CodeErr, "unknown verb '"+printable(args[0])+"': want leave, drain, undrain or remove")
		return
	}
	c.changeMember(r, args[1], string(args[0]), roster.Command{Kind: kind})
}

// place gives a server another weight or zone.
func (c *conn) place(r *reply, args [][]byte) {
	cmd := roster.Command{Kind: roster.KindSetZone, Zone: string(args[2])}
	switch string(args[0]) {
	case wire.PlaceZone:
	case wire.PlaceWeight:
		weight, err := strconv.ParseUint(cmd.Zone, 10, 32)
		if err != nil {
			r.fail(wire.CodeErr, "'"+printable(args[2])+"' is no weight")
			return
		}
		cmd = roster.Command{Kind: roster.KindSetWeight, Weight: uint32(weight)}
		if why := c.s.weightless(); weight > 1 && why != "" {
			r.fail(wire.CodeRefused, why)
			return
		}
	default:
		r.fail(wire.CodeErr, "'"+printable(args[0])+"' can't be set: want weight or zone")
		return
	}
	c.changeMember(r, args[1], "set "+string(args[0]), cmd)
}

// weightless says which server that is up runs a build that knows no weights: it would place
// partitions elsewhere. One that comes later is refused by the roster.
func (s *Service) weightless() string {
	p := s.published.Load()
	status := s.beats.status(p.members)
	for i := range p.members {
		m := &p.members[i]
		switch {
		case !m.Up:
		case status[i].Age < 0:
			return fmt.Sprintf("%v (%s) has not been heard of yet, so nobody knows whether its build knows weights: try again", m.ID, m.Addr)
		case !status[i].Stats.KnowsWeights:
			return fmt.Sprintf("%v (%s) runs a build that knows no weights: start it with a newer one first", m.ID, m.Addr)
		}
	}
	return ""
}

// changeMember has cmd done to a server, by id or address, and answers with its id.
func (c *conn) changeMember(r *reply, name []byte, verb string, cmd roster.Command) {
	id, err := c.s.resolve(string(name))
	if err != nil {
		c.s.answered(r, func() { r.fail(wire.CodeRefused, err.Error()) }, func(res roster.Result) {
			r.finish(func(w *wire.Writer) { w.WriteBulkString(res.ID.String()) })
		})
		return
	}
	cmd.ID = id
	logger := c.s.opts.Logger.With("verb", verb, "server", id)
	c.s.command(r, cmd, func(roster.Result) {
		logger.Info("an operator changed a member")
		r.finish(func(w *wire.Writer) { w.WriteBulkString(id.String()) })
	})
}

// command submits a command and has done answer r when it was done; otherwise r is
// told why not.
func (s *Service) command(r *reply, cmd roster.Command, done func(roster.Result)) {
	s.submit(proposal{cmd: cmd, id: r.id, done: func(res roster.Result, err error) {
		switch {
		case err != nil:
			failed(r, err)
		case res.Code != roster.Done:
			refuse(r, res)
		default:
			done(res)
		}
	}})
}

// answered answers a command that makes no sense now: with done, if it was carried
// out when its client asked before, otherwise with refuse.
func (s *Service) answered(r *reply, refuse func(), done func(roster.Result)) {
	if r.id == (wire.CommandID{}) {
		refuse()
		return
	}
	s.report(func(g *group) {
		if res, ok := g.answered.results[r.id]; ok && res.Code == roster.Done {
			done(res)
		} else {
			refuse()
		}
	})
}

// resolve finds a member by id or address.
func (s *Service) resolve(name string) (ring.ServerID, error) {
	v := s.view()
	if id, err := ring.ParseServerID(name); err == nil {
		if v.Member(id) == nil {
			return 0, fmt.Errorf("%v is not a member", id)
		}
		return id, nil
	}
	for i := range v.Members {
		if v.Members[i].Addr == name {
			return v.Members[i].ID, nil
		}
	}
	return 0, fmt.Errorf("no server %q: want an id like s1 or an address of query_servers", printable([]byte(name)))
}

func (c *conn) status(r *reply, _ [][]byte) {
	p := c.s.published.Load()
	st := wire.Status{View: ring.AppendView(nil, p.view, 0), Servers: c.s.beats.status(p.members)}
	for i := range p.members {
		failures, until := c.s.damped(p, &p.members[i])
		st.Servers[i].Failures = uint32(failures)
		if until.After(c.s.opts.Now()) {
			st.Servers[i].Held = until
		}
	}
	r.bulk(wire.AppendStatus(nil, &st))
}
