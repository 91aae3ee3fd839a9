package route

import (
	"context"
	"fmt"

	"viewring/internal/wire"
	"viewring/ring"
)

// Integer carries out a command of Redis that reads one key and answers with an integer, as Do does a get. The
// key's name may be empty.
func (c *Client) Integer(ctx context.Context, name, command, key string) (n int64, err error) {
	if err := checkSizes(name, &wire.DoRequest{Key: []byte(key)}); err != nil {
		return 0, err
	}
	op := newOperation(name, false, 0)
	op.slot = ring.SlotOf(key)
	op.ask = func(ctx context.Context, conn *wire.Conn) error {
		value, err := conn.Do(ctx, []byte(command), []byte(key))
		if err == nil && value.Kind != wire.KindInt {
			err = fmt.Errorf("%s: %s is answered with something else than an integer", conn.Addr(), command)
		}
		n = value.Int
		return err
	}
	err = c.tryUntilDone(ctx, op)
	c.counted(op, err)
	return n, err
}
