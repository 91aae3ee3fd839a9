package server

import (
	"os"
	"runtime"
	"time"

	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
	"viewring/server/replica"
)

// session is what a connection's reading goroutine remembers from command to command.
type session struct {
	client  *redis.Session
	guarded bool // may not ask for everything, is after MULTI, or keeps what it reads: runGuarded looks at each command
	multi   *multi
	watched map[string]replica.Version // keys of one slot, as WATCH found them
	wrote   []uint64                   // bits: the partitions that were written to
	within  bool                       // EXEC carries out commands: none may wait
	held    int64                      // bytes of the reply being made that take has counted
	cacher  *cacher                    // the client keeps what it reads; nil: it does not

	resp3, listens bool // as the postbox knows it
}

// newFront is what this server shows to Redis clients.
func (s *Server) newFront() *redis.Front {
	_, port := splitAddr(s.addr)
	return &redis.Front{Mode: redis.ModeCluster, Auth: func(from string, args [][]byte) string { return s.frontend.Judge(from, args) }, Monitor: s.monitor, Password: s.opts.Secure.WantsPassword(), NoAuth: secure.HelloNoAuth,
		Now: time.Now, Started: s.started, System: runtime.GOOS + " " + runtime.GOARCH, Process: os.Getpid(), Port: port}
}

// guard notes what the last command has made of the session.
func (c *conn) guard() {
	n := &c.session
	c.Trust(n.client.Trusted())
	n.guarded = c.Guarded() || n.multi != nil || n.cacher != nil || n.client.Restricted()
	if resp3, listens := n.client.RESP3(), n.client.Subscriptions() > 0; resp3 != n.resp3 || listens != n.listens {
		n.resp3, n.listens = resp3, listens
		c.post.speaks(resp3, listens)
	}
}

// takeHeld hands over the bytes that the reply just made holds.
func (n *session) takeHeld() int64 {
	held := n.held
	n.held = 0
	return held
}

// noteWrite remembers a partition for WAIT.
func (n *session) noteWrite(p ring.PartitionID, partitions int) {
	if n.wrote == nil {
		n.wrote = make([]uint64, (partitions+63)/64)
	}
	n.wrote[p/64] |= 1 << (p % 64)
}

// sayReset is RESET, which also forgets MULTI and WATCH, and what the client is told.
func (c *conn) sayReset([][]byte) wire.Value {
	c.discard()
	c.unsubscribeAll()
	c.untrack()
	c.post.empty()
	c.session.client.Untrack()
	return c.session.client.Reset()
}

func (c *conn) runQuit([][]byte) error {
	c.replyOK()
	return errQuit
}
