package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
)

// The commands on all keys. SCAN and KEYS go through the slots in order,
// each run of them at who serves it when its turn comes: whatever moves meanwhile,
// no slot is left out. Their cursors are good at every server, so they need none of their own.
const (
	scanRunsMax     = 32                    // servers' answers gathered into one answer to SCAN
	scanCount       = 10                    // names in an answer, unless COUNT says otherwise
	keysCount       = "1000"                // names in a server's answer to KEYS
	keysBytesMax    = 64 << 20              // of the names in an answer to KEYS
	flushPatience   = time.Hour             // it takes as long as there are keys
	steadyRoundsMax = 10                    // while partitions move
	wholePause      = 50 * time.Millisecond // before servers that were in another view are asked again
)

// scanAt asks for a page of names, whoever serves the cursor's slot.
func (s *session) scanAt(ctx context.Context, cursor wire.Cursor, options [][]byte) *route.Call {
	args := append([][]byte{[]byte(wire.CmdScan), strconv.AppendUint(nil, uint64(cursor), 10)}, options...)
	return s.pipe.Send(ctx, route.Command{Args: args, Slot: cursor.Slot()})
}

// page waits for the answer to scanAt.
func page(ctx context.Context, call *route.Call) (next wire.Cursor, names []wire.Value, err error) {
	raw, err := call.Wait(ctx)
	if err != nil {
		return 0, nil, err
	}
	v, err := parse(raw)
	if err == nil {
		err = v.Err()
	}
	if err != nil {
		return 0, nil, err
	}
	if len(v.Array) != 2 {
		return 0, nil, fmt.Errorf("%w: a page of %d parts", wire.ErrProtocol, len(v.Array))
	}
	n, ok := redis.ParseCursor(v.Array[0].Bytes)
	if next = wire.Cursor(n); !ok || !next.Valid() {
		return 0, nil, fmt.Errorf("%w: a cursor %q", wire.ErrProtocol, v.Array[0].Bytes)
	}
	return next, v.Array[1].Array, nil
}

// runScan is SCAN.
func (s *session) runScan(args [][]byte) error {
	n, ok := redis.ParseCursor(args[1])
	cursor := wire.Cursor(n)
	if !ok || !cursor.Valid() {
		s.replyError("ERR invalid cursor")
		return nil
	}
	var options [][]byte
	count := int64(scanCount)
	for i, a := range args[2:] {
		options = append(options, slices.Clone(a))
		if i%2 == 1 && strings.EqualFold(string(options[i-1]), "COUNT") {
			if n, ok := redis.ParseInt(a); ok {
				count = n
			}
		}
	}
	s.now(func(ctx context.Context, w *wire.Writer) {
		found := redis.Array()
		for range scanRunsMax {
			next, names, err := page(ctx, s.scanAt(ctx, cursor, options))
			if err != nil {
				s.writeFailure(w, err)
				return
			}
			found.Array = append(found.Array, names...)
			if cursor = next; cursor == 0 || int64(len(found.Array)) >= count {
				break
			}
		}
		w.WriteValue(redis.Array(redis.Text(strconv.FormatUint(uint64(cursor), 10)), found))
	})
	return nil
}

// run is slots that one server is primary of.
type slotRun struct {
	first, last uint16
	primary     ring.ServerID
}

func slotRuns(v *ring.View) []slotRun {
	var runs []slotRun
	for i := range v.Partitions {
		first, last := ring.SlotRange(ring.PartitionID(i), len(v.Partitions))
		primary := v.Partitions[i].Primary()
		if n := len(runs); n > 0 && runs[n-1].primary == primary {
			runs[n-1].last = last
			continue
		}
		runs = append(runs, slotRun{first, last, primary})
	}
	return runs
}

// runKeys is KEYS: all runs are asked side by side.
func (s *session) runKeys(args [][]byte) error {
	options := [][]byte{[]byte("MATCH"), slices.Clone(args[1]), []byte("COUNT"), []byte(keysCount)}
	s.now(func(ctx context.Context, w *wire.Writer) {
		runs := slotRuns(s.g.opts.Client.View())
		calls := make([]*route.Call, len(runs))
		for i, r := range runs {
			calls[i] = s.scanAt(ctx, wire.CursorOf(r.first), options)
		}
		found, size := redis.Array(), 0
		var failed error
		for i, r := range runs {
			next, names, err := page(ctx, calls[i])
			for {
				for _, n := range names {
					size += len(n.Bytes)
				}
				if failed == nil && err == nil && size > keysBytesMax {
					err = &wire.ServerError{Code: wire.CodeTooLarge, Message: "more names than one reply may hold: use SCAN"}
				}
				if failed == nil {
					failed = err
				}
				if failed != nil {
					break
				}
				found.Array = append(found.Array, names...)
				if next == 0 || next.Slot() > r.last {
					break
				}
				next, names, err = page(ctx, s.scanAt(ctx, next, options))
			}
		}
		if failed != nil {
			s.writeFailure(w, failed)
			return
		}
		w.WriteValue(found)
	})
	return nil
}

// runRandomKey is RANDOMKEY: a server's, of one that has any.
func (s *session) runRandomKey([][]byte) error {
	s.now(func(ctx context.Context, w *wire.Writer) {
		found := redis.Nil()
		err := s.steady(func() (err error) {
			found, err = s.randomKey(ctx)
			return err
		})
		if err != nil {
			s.writeFailure(w, err)
			return
		}
		w.WriteValue(found)
	})
	return nil
}

func (s *session) randomKey(ctx context.Context) (wire.Value, error) {
	slots := primaries(s.g.opts.Client.View())
	rand.Shuffle(len(slots), func(i, j int) { slots[i], slots[j] = slots[j], slots[i] })
	for _, slot := range slots {
		raw, err := s.pipe.Send(ctx, route.Command{Args: [][]byte{[]byte("RANDOMKEY")}, Slot: slot}).Wait(ctx)
		if err != nil {
			return wire.Value{}, err
		}
		v, err := parse(raw)
		if err == nil {
			err = v.Err()
		}
		if err != nil || !v.IsNil() {
			return v, err
		}
	}
	return redis.Nil(), nil
}

// primaries returns a slot of each server that is primary of any.
func primaries(v *ring.View) []uint16 {
	var slots []uint16
	seen := make(map[ring.ServerID]bool)
	for _, r := range slotRuns(v) {
		if !seen[r.primary] {
			seen[r.primary] = true
			slots = append(slots, r.first)
		}
	}
	return slots
}

// steady repeats something about all primaries until no partition has moved
// meanwhile.
func (s *session) steady(do func() error) error {
	for range steadyRoundsMax {
		before := slotRuns(s.g.opts.Client.View())
		if err := do(); err != nil {
			return err
		}
		if slices.Equal(before, slotRuns(s.g.opts.Client.View())) {
			return nil
		}
	}
	return errUnsteady
}

var errUnsteady = &wire.ServerError{Code: wire.CodeBusy, Message: "partitions move all the time"}

// everywhere asks all primaries of one view for their parts of a command, until each
// has answered for all of its part in that view. done is how many rounds there were
// in which all answered something.
func (s *session) everywhere(ctx context.Context, cmd route.Command) (raws [][]byte, done int, err error) {
	for until := time.Now().Add(s.g.opts.Patience); ; done++ {
		v := s.g.opts.Client.View()
		part := cmd
		part.Args = append([][]byte{[]byte(wire.CmdWhole), strconv.AppendUint(nil, v.Epoch, 10)}, cmd.Args...)
		var calls []*route.Call
		for _, slot := range primaries(v) {
			part.Slot = slot
			calls = append(calls, s.pipe.Send(ctx, part))
		}
		if raws, err = waitAll(ctx, calls, cmd.Mutation, s.g.opts.Bounds.Buffered); err != nil {
			return nil, done, err
		}
		again := func(raw []byte) bool { return string(raw) == "+"+wire.WholeAgain+"\r\n" }
		switch {
		case !slices.ContainsFunc(raws, again):
			return raws, done, nil
		case time.Now().After(until):
			return nil, done + 1, errUnsteady
		}
		s.awaitChange(ctx, v)
	}
}

// awaitChange waits for a newer view than v, but not for long: another one may be what
// the servers wait for.
func (s *session) awaitChange(ctx context.Context, v *ring.View) {
	ctx, cancel := context.WithTimeout(ctx, wholePause)
	defer cancel()
	select {
	case <-s.g.opts.Client.ViewChanged(v):
	case <-ctx.Done():
	}
}

// runEverywhere carries out a command whose parts are those of all servers.
func (s *session) runEverywhere(cmd *redis.Command, words [][]byte) {
	asked := route.Command{Mutation: cmd.HasFlag("write")}
	for _, a := range words {
		asked.Args = append(asked.Args, slices.Clone(a))
	}
	if asked.Mutation {
		asked.Patience = flushPatience
	}
	s.now(func(ctx context.Context, w *wire.Writer) {
		raws, done, err := s.everywhere(ctx, asked)
		switch {
		case err == nil:
			join(w, cmd.Gateway.Join, raws)
		case asked.Mutation && done > 0:
			s.writeFailure(w, &wire.ServerError{Code: wire.CodeUnknownOutcome, Message: "most keys are deleted, perhaps not all: " + failureText(err)})
		default:
			s.writeFailure(w, err)
		}
	})
}
