package wire

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"viewring/internal/outcome"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

// Register registers a server.
func (l *Leader) Register(ctx context.Context, q vocab.Register) (Registered, error) {
	// It may wait until the process that it replaces has proved dead.
	v, _, err := l.ask(ctx, question{long: true, wait: 10 * time.Second,
		args: [][]byte{[]byte(CmdRegister), AppendRegister(nil, &q)}})
	if err != nil {
		return Registered{}, fmt.Errorf("register: %w", err)
	}
	return DecodeRegistered(v.Bytes)
}

// Heartbeat tells the view leader that a server lives.
func (l *Leader) Heartbeat(ctx context.Context, q Heartbeat) (HeartbeatReply, error) {
	// One of an earlier build refuses what it does not understand; another may come after it.
	q.Brief = q.Brief || l.brief.Load() > 0 && l.brief.Add(-1) >= 0
	v, _, err := l.ask(ctx, question{args: [][]byte{[]byte(CmdHeartbeat), AppendHeartbeat(nil, &q)}})
	if IsCode(err, CodeErr) && !q.Brief {
		l.brief.Store(leaderBrief)
		q.Brief = true
		v, _, err = l.ask(ctx, question{args: [][]byte{[]byte(CmdHeartbeat), AppendHeartbeat(nil, &q)}})
	}
	if err != nil {
		return HeartbeatReply{}, fmt.Errorf("heartbeat: %w", err)
	}
	return DecodeHeartbeatReply(v.Bytes)
}

// View waits for a view newer than base (nil: none yet) and returns it, or base
// when none came in time. Without a base and with wait 0 the answer is the
// present view.
func (l *Leader) View(ctx context.Context, base *ring.View, wait time.Duration) (*ring.View, error) {
	wait = max(0, wait)
	v, err := l.view(ctx, base, wait)
	if errors.Is(err, ring.ErrNeedWhole) {
		v, err = l.view(ctx, nil, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	return v, nil
}

func (l *Leader) view(ctx context.Context, base *ring.View, wait time.Duration) (*ring.View, error) {
	var since uint64
	if base != nil {
		since = base.Epoch
	}
	v, _, err := l.ask(ctx, question{long: wait > 0, wait: wait, args: [][]byte{[]byte(CmdView),
		strconv.AppendUint(nil, since, 10), strconv.AppendInt(nil, wait.Milliseconds(), 10)}})
	if err != nil || v.IsNil() {
		return base, err
	}
	return ring.DecodeView(v.Bytes, base)
}

// Change asks for changes of partitions. There is one result for each.
func (l *Leader) Change(ctx context.Context, changes []Change) ([]ChangeResult, error) {
	v, _, err := l.ask(ctx, question{args: [][]byte{[]byte(CmdChange), AppendChanges(nil, changes)}})
	if err != nil {
		return nil, fmt.Errorf("change: %w", err)
	}
	results, err := DecodeChangeResults(v.Bytes)
	if err == nil && len(results) != len(changes) {
		err = fmt.Errorf("change: %d results for %d changes", len(results), len(changes))
	}
	return results, err
}

// Confirm asks whether partitions are still in these terms: one answer for each.
func (l *Leader) Confirm(ctx context.Context, questions []Confirm) ([]bool, error) {
	v, _, err := l.ask(ctx, question{args: [][]byte{[]byte(CmdConfirm), AppendConfirms(nil, questions)}})
	if err != nil {
		return nil, fmt.Errorf("confirm: %w", err)
	}
	if len(v.Bytes) != len(questions) {
		return nil, fmt.Errorf("confirm: %d answers to %d questions", len(v.Bytes), len(questions))
	}
	answers := make([]bool, len(questions))
	for i, b := range v.Bytes {
		answers[i] = b == 1
	}
	return answers, nil
}

// Member carries out an operator's verb on a server, named by id or address.
func (l *Leader) Member(ctx context.Context, verb, server string) (ring.ServerID, error) {
	v, _, err := l.ask(ctx, question{kind: outcome.Repeatable, once: true, args: [][]byte{[]byte(CmdMember), []byte(verb), []byte(server)}})
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", verb, server, err)
	}
	return ring.ParseServerID(v.Text())
}

// Place gives a server, named by id or address, another weight or zone.
func (l *Leader) Place(ctx context.Context, what, server, value string) (ring.ServerID, error) {
	v, _, err := l.ask(ctx, question{kind: outcome.Repeatable, once: true,
		args: [][]byte{[]byte(CmdPlace), []byte(what), []byte(server), []byte(value)}})
	if err != nil {
		return 0, fmt.Errorf("set %s of %s: %w", what, server, err)
	}
	return ring.ParseServerID(v.Text())
}

// Status asks for the view and every server's last heartbeat.
func (l *Leader) Status(ctx context.Context) (Status, error) {
	v, _, err := l.ask(ctx, question{args: [][]byte{[]byte(CmdStatus)}})
	if err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	return DecodeStatus(v.Bytes)
}

// AcceptLoss gives up the data of partitions that no server can serve, and
// returns the epoch in which they begin anew.
func (l *Leader) AcceptLoss(ctx context.Context, ps []ring.PartitionID) (uint64, error) {
	// It waits until no lease can hold any more.
	v, _, err := l.ask(ctx, question{kind: outcome.Repeatable, long: true, wait: 10 * time.Second, once: true,
		args: [][]byte{[]byte(CmdLoss), AppendPartitions(nil, ps)}})
	if err != nil {
		return 0, fmt.Errorf("accept loss: %w", err)
	}
	return uint64(v.Int), nil
}

// Elections returns what the head has seen happen to its group after a time, and since it started.
func (l *Leader) Elections(ctx context.Context, since time.Time) ([]vocab.Event, error) {
	v, _, err := l.ask(ctx, question{args: [][]byte{[]byte(CmdElections), strconv.AppendInt(nil, since.UnixMilli(), 10)}})
	if IsCode(err, CodeErr) {
		return nil, nil // an earlier build
	}
	if err != nil {
		return nil, fmt.Errorf("elections: %w", err)
	}
	return DecodeEvents(v.Bytes)
}

// Events returns the events after number since that are still kept, oldest
// first; when there is none it waits for one, and returns none when that takes
// longer than wait.
func (l *Leader) Events(ctx context.Context, since uint64, wait time.Duration) ([]vocab.Event, error) {
	wait = max(0, wait)
	v, _, err := l.ask(ctx, question{long: wait > 0, wait: wait, args: [][]byte{[]byte(CmdEvents),
		strconv.AppendUint(nil, since, 10), strconv.AppendInt(nil, wait.Milliseconds(), 10)}})
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	if v.IsNil() {
		return nil, nil
	}
	return DecodeEvents(v.Bytes)
}
