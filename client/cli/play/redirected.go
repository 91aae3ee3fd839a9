package play

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/internal/wire"
	"viewring/ring"
)

const redialTimeout = time.Second

// redirected writes as a plain cluster-aware Redis client does: to where the last
// answer sent it, following a few MOVED at a time and giving up at any other
// error. A connection that ends sends it to another server.
type redirected struct {
	admin *admin.Cluster // for the addresses alone
	key   string
	addr  string
	conns map[string]*wire.Conn
	dial  client.DialFunc
}

func newRedirected(c *admin.Cluster, key string, dial client.DialFunc) *redirected {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return &redirected{admin: c, key: key, conns: make(map[string]*wire.Conn), dial: dial}
}

func (r *redirected) set(ctx context.Context, value []byte) error {
	var err error
	for range redirectsMax + 1 {
		if r.addr == "" {
			r.addr = r.primary()
		}
		if err = r.try(ctx, value); err == nil {
			return nil
		}
		var reply *wire.ServerError
		switch {
		case ctx.Err() != nil:
			return err
		case !errors.As(err, &reply):
			if c := r.conns[r.addr]; c != nil {
				_ = c.Close() // broken
				delete(r.conns, r.addr)
			}
			r.addr = ""
		case reply.Code == wire.CodeMoved:
			r.addr = reply.Message[strings.LastIndexByte(reply.Message, ' ')+1:]
		default:
			return err
		}
	}
	return fmt.Errorf("still redirected after %d times: %w", redirectsMax, err)
}

// primary is where the key's partition is, as CLUSTER SLOTS would say.
func (r *redirected) primary() string {
	v := r.admin.View()
	if m := v.Member(v.Partitions[ring.PartitionOf(ring.SlotOf(r.key), len(v.Partitions))].Primary()); m != nil {
		return m.Addr
	}
	return ""
}

func (r *redirected) try(ctx context.Context, value []byte) error {
	c := r.conns[r.addr]
	if c == nil {
		dctx, cancel := context.WithTimeout(ctx, redialTimeout)
		defer cancel()
		var err error
		if c, err = wire.Dial(dctx, r.addr, r.dial, wire.DefaultLimits); err != nil {
			return err
		}
		r.conns[r.addr] = c
	}
	_, err := c.Do(ctx, []byte("SET"), []byte(r.key), value)
	return err
}

func (r *redirected) close() {
	for _, c := range r.conns {
		_ = c.Close() // nothing is under way
	}
}
