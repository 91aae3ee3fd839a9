package gateway

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"viewring/client"
	"viewring/internal/wire"
)

// spec is what COMMAND says of a command.
type spec struct {
	arity             int // words, the name included; negative: at least that many
	first, last, step int // of the keys among the words; first 0: it has none
	mutation          bool
}

// table is the servers' commands by name in capitals. Immutable.
type table map[string]spec

// commands are those that the servers have. They are asked once.
func (g *Gateway) commands(ctx context.Context) (table, error) {
	if t := g.table.Load(); t != nil {
		return *t, nil
	}
	t, err := loadTable(ctx, g.opts.Client, g.opts.Patience)
	if err == nil {
		g.table.Store(&t)
	}
	return t, err
}

func loadTable(ctx context.Context, c *client.Client, patience time.Duration) (table, error) {
	call := c.NewPipeline(patience).Send(ctx, client.Command{Args: [][]byte{[]byte("COMMAND")}})
	raw, err := call.Wait(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the commands: %w", err)
	}
	v, err := parse(raw)
	if err == nil {
		err = v.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("read the commands: %w", err)
	}
	t := make(table, len(v.Array))
	for _, row := range v.Array {
		if len(row.Array) < 6 {
			continue
		}
		r := row.Array
		s := spec{arity: int(r[1].Int), first: int(r[3].Int), last: int(r[4].Int), step: int(r[5].Int)}
		for _, flag := range r[2].Array {
			s.mutation = s.mutation || string(flag.Bytes) == "write"
		}
		t[string(bytes.ToUpper(r[0].Bytes))] = s
	}
	return t, nil
}

// parse reads one raw reply.
func parse(raw []byte) (wire.Value, error) {
	return wire.NewReader(bytes.NewReader(raw), wire.DefaultLimits).ReadValue()
}

// takes reports whether a number of words is right for the command.
func (s spec) takes(words int) bool {
	return words == s.arity || s.arity < 0 && words >= -s.arity
}

// keys returns the keys among the words of a command.
func (s spec) keys(args [][]byte) [][]byte {
	if s.first == 0 || s.step == 0 {
		return nil
	}
	last := s.last
	if last < 0 {
		last += len(args)
	}
	var keys [][]byte
	for i := s.first; i <= last && i < len(args); i += s.step {
		keys = append(keys, args[i])
	}
	return keys
}
