package lane

import (
	"viewring/ring"
	"viewring/server/replica"
)

// Propose has a lane carry out a request that no client waits for. done is called with the
// answer in the lane's turn, so it must not wait; never, if the server stops before. Propose
// itself may wait.
func (ls Lanes) Propose(p ring.PartitionID, r *replica.Request, done func(replica.Answer)) {
	r.Partition = p
	ls.Put(ls.Index(p), Asked(&ownCall{r, done}))
}

// ownCall is a request of the server itself.
type ownCall struct {
	request *replica.Request
	done    func(replica.Answer)
}

func (c *ownCall) ToRead() (r Read, isRead bool)                    { return r, false }
func (c *ownCall) ToWrite() *replica.Request                        { return c.request }
func (c *ownCall) Look() func(*replica.Core) (replica.Answer, bool) { return nil }
func (c *ownCall) Complete(a replica.Answer)                        { c.done(a) }
func (c *ownCall) Client() Client                                   { return Nobody{} }

// Nobody is a Client that need not be told.
type Nobody struct{}

// Notify implements Client.
func (Nobody) Notify() {}
