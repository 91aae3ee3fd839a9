package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
)

// split carries out a command whose keys are in several slots as one command for
// each key, if it is one of those for which that means the same. The whole is not
// atomic, as it is not in any cluster.
func (s *session) split(cmd *redis.Command, words [][]byte) {
	args, step := words[1:], cmd.Keys.Step
	switch {
	case cmd.Gateway.Way != redis.ToParts:
		s.wrong(redis.ErrCrossSlot)
		return
	case len(args)%step != 0:
		s.wrong(redis.ArityError(cmd))
		return
	}
	part := redis.Lookup(cmd.Gateway.Part)
	name := []byte(strings.ToUpper(part.Name))
	calls := make([]*route.Call, 0, len(args)/step)
	for i := 0; i < len(args); i += step {
		calls = append(calls, s.send(part, ring.SlotOf(string(args[i])), append([][]byte{name}, args[i:i+step]...)))
	}
	s.push(item{
		ready: func() bool { return false },
		write: func(ctx context.Context, w *wire.Writer) {
			raws, err := waitAll(ctx, calls, cmd.HasFlag("write"), s.g.opts.Bounds.Buffered)
			if err != nil {
				s.writeFailure(w, err)
				return
			}
			join(w, cmd.Gateway.Join, raws)
		},
	})
}

// waitAll waits for all, whatever some of them say. The first error, of any sort,
// is that of all, unless they change something and not all of them did nothing: then
// it is ErrUnknownOutcome. More than bytesMax of answers are not kept.
func waitAll(ctx context.Context, calls []*route.Call, changes bool, bytesMax int64) (raws [][]byte, failed error) {
	size, done := int64(0), 0
	for _, call := range calls {
		raw, err := call.Wait(ctx)
		if size += int64(len(raw)); err == nil && size > bytesMax {
			err = &wire.ServerError{Code: wire.CodeTooLarge, Message: "more than one reply may hold: ask for fewer keys"}
			raws, raw = nil, []byte("_\r\n")
		}
		if err == nil && wire.Kind(raw[0]) == wire.KindError {
			err = wire.ParseServerError(string(raw[1 : len(raw)-2]))
		}
		if err == nil {
			done++
		}
		if failed == nil || errors.Is(err, route.ErrUnknownOutcome) {
			failed = err
		}
		raws = append(raws, raw)
	}
	if failed != nil && changes && done > 0 {
		failed = partlyDone(done, len(calls), failed)
	}
	return raws, failed
}

// partlyDone is the error of a command of which some parts were carried out.
func partlyDone(done, all int, why error) error {
	return &wire.ServerError{Code: wire.CodeUnknownOutcome, Message: fmt.Sprintf("%d of %d parts are done, another one failed: %s", done, all, failureText(why))}
}

// join writes the replies to a command's parts as one.
func join(w *wire.Writer, how redis.Join, raws [][]byte) {
	switch how {
	case redis.JoinArray:
		w.WriteArray(len(raws))
		for _, raw := range raws {
			w.WriteRaw(raw)
		}
	case redis.JoinSum:
		n := int64(0)
		for _, raw := range raws {
			if v, err := parse(raw); err == nil {
				n += v.Int
			}
		}
		w.WriteInt(n)
	case redis.JoinOK:
		w.WriteSimple("OK")
	}
}

// parse reads one raw reply.
func parse(raw []byte) (wire.Value, error) {
	return wire.NewReader(bytes.NewReader(raw), wire.DefaultLimits).ReadValue()
}
