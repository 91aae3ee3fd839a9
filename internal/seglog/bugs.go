package seglog

// bugs are mistakes that tests plant to see that they are caught.
type bugs uint32

const (
	bugCollision           bugs = 1 << iota // two keys with the same bound are taken for one
	bugWipeKeepsGeneration                  // a wipe begins no new generation
	bugUnverified                           // a read does not look at the checksum
	bugFreeEarly                            // a segment is freed before its copies are durable
	bugCheckpointEarly                      // a checkpoint is published before what it speaks of is durable
	bugDropTombstones                       // collection drops every tombstone
	bugTornApplied                          // a torn frame at the end is replayed
	bugMoveOverNewer                        // collection copies what was overwritten since
	bugFreeUnsaid                           // a segment is removed and the log does not say so
	bugNoSeed                               // checksums do not depend on the place
	bugGapIgnored                           // frames that are missing are not missed
	bugAckEarly                             // a batch is told of as durable before it is
	bugLostForgotten                        // collection drops a damaged record
	bugSealEarly                            // a segment is sealed before the next one is made
	bugFloorForgotten                       // a trim is not written
)

func (b bugs) on(one bugs) bool { return b&one != 0 }
