package upkeep

import (
	"time"

	"viewring/ring"
	"viewring/server/replica"
)

// Keeper knows all keys of replica.SpaceOwned that are about something: a Reaper or a Janitor.
type Keeper interface {
	add(p ring.PartitionID, key replica.Key)
	remove(key replica.Key)
	wiped(p ring.PartitionID)
}

// Storing tells keepers what a lane is about to store.
func Storing(b *replica.Batch, keepers ...Keeper) {
	for i := range b.Ops {
		o := &b.Ops[i]
		owned := (o.Kind == replica.PutItem || o.Kind == replica.DeleteItem) && o.Key.Space() == replica.SpaceOwned
		if !owned && o.Kind != replica.WipePartition {
			continue
		}
		for _, k := range keepers {
			switch o.Kind {
			case replica.WipePartition:
				k.wiped(o.Partition)
			case replica.PutItem:
				k.add(o.Partition, o.Key)
			default:
				k.remove(o.Key)
			}
		}
	}
}

// unreadAgain is how long it is until a partition is read again whose keys could not all be read.
const unreadAgain = 5 * time.Second

// unread are the partitions of which something could not be read: what is damaged there is repaired
// meanwhile, and what was whole is not stored anew. One goroutine uses it at a time.
type unread struct {
	b      *Base
	what   string // that is looked for, in the log
	add    func(ring.PartitionID, replica.Key)
	parts  []ring.PartitionID
	lookAt time.Duration // Instant.Mono
}

// read looks through partitions for keys of SpaceOwned. It may pass on a key that goes meanwhile.
func (u *unread) read(parts []ring.PartitionID) {
	var failed []ring.PartitionID
	for _, p := range parts {
		if err := u.b.Store.KeysOf(p, replica.SpaceOwned, func(key replica.Key) { u.add(p, key) }); err != nil {
			u.b.Logger.Warn("a partition can't be read whole, and will be again", "looked for", u.what, "partition", p, "err", err)
			failed = append(failed, p)
		}
	}
	u.parts, u.lookAt = failed, u.b.Now().Mono+unreadAgain
}

// again reads what is left, if its time has come; it reports whether some is left.
func (u *unread) again() bool {
	if len(u.parts) > 0 && u.b.Now().Mono >= u.lookAt {
		u.read(u.parts)
	}
	return len(u.parts) > 0
}

// all are the partitions up to a number.
func all(partitions int) []ring.PartitionID {
	parts := make([]ring.PartitionID, partitions)
	for i := range parts {
		parts[i] = ring.PartitionID(i)
	}
	return parts
}
