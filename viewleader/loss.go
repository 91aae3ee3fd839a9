package viewleader

import (
	"fmt"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/viewleader/roster"
)

// acceptLoss gives partitions up once every lease that could stand now is over, by this
// process's monotonic clock, which knows of no time before its start. The roster looks
// at the stamps too.
func (c *conn) acceptLoss(r *reply, args [][]byte) {
	ps, err := wire.DecodePartitions(args[0])
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	v := c.s.view()
	if err := givenUp(v, ps); err != nil {
		c.s.answered(r, func() { r.fail(wire.CodeRefused, err.Error()) }, func(res roster.Result) {
			r.finish(func(w *wire.Writer) { w.WriteInt(int64(res.Epoch)) })
		})
		return
	}
	c.s.running.Go(func() {
		lease := time.NewTimer(v.LeaseTTL)
		defer lease.Stop()
		select {
		case <-lease.C:
			c.s.giveUp(r, ps)
		case <-c.broken: // nobody waits for the answer: the operator thought better of it
		case <-c.s.ctx.Done():
		}
	})
}

// givenUp refuses at once what the roster would refuse later.
func givenUp(v *ring.View, ps []ring.PartitionID) error {
	for _, p := range ps {
		if int64(p) >= int64(len(v.Partitions)) {
			return fmt.Errorf("there is no partition %d", p)
		}
		if !v.Unserved(p) {
			return fmt.Errorf("partition %d is not lost: one of %v is up and holds it", p, v.Partitions[p].Acting)
		}
	}
	return nil
}

func (s *Service) giveUp(r *reply, ps []ring.PartitionID) {
	s.command(r, roster.Command{Kind: roster.KindAcceptLoss, Partitions: ps}, func(res roster.Result) {
		s.opts.Logger.Warn("an operator gave up the data of partitions", "partitions", ps, "epoch", res.Epoch)
		r.finish(func(w *wire.Writer) { w.WriteInt(int64(res.Epoch)) })
	})
}
