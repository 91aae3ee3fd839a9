package replica

// Bugs is a set of planted bugs. The simulation switches one on at a time to
// prove that its checkers would notice; everyone else leaves it zero.
type Bugs uint64

// The bugs that can be planted, named for what the core then does.
const (
	BugAckBeforeSync        Bugs = 1 << iota // durable is reported before the sync
	BugCommitWithoutOne                      // one backup's acknowledgement is not waited for
	BugNoSecondLeaseCheck                    // the lease is not checked again after the read
	BugNoHolds                               // a new primary does not wait out its promises
	BugAcceptLowerTerm                       // messages of other terms are taken
	BugNoRecord                              // the request record is not written
	BugPageOverwrites                        // a page item replaces a newer live one
	BugTombstoneForgotten                    // a learner forgets deletes
	BugSkipReconcile                         // a new primary serves without asking the others
	BugHandoffEarly                          // learners are handed to before they are ready
	BugCommitNotJoint                        // a proposed replica's acknowledgement is not waited for
	BugDirtyRead                             // reads do not wait for uncommitted entries
	BugPurgeEarly                            // strays are purged without the digests
	BugSuffixNoDeletes                       // a suffix leaves keys that its log deleted
	BugSuffixNoRows                          // a suffix does not bring its index rows
	BugNotLevelled                           // shorter acting replicas are not brought level
	BugTailCommitted                         // a tail that too few copies hold is called committed
	BugNoStartWait                           // a restarted primary does not wait out what it promised before
	BugLeaseBelowMin                         // a lease counts with too few copies
	BugOwnKeysKept                           // a returner does not mend what it alone wrote
	BugNeedIgnored                           // a page from before a missing key's last change settles it
	BugReadyBeforeSync                       // a learner is ready before its swap is durable
	BugUnfinishedWhole                       // an unfinished copy is whole after a restart
	BugClientMarkIgnored                     // an id at or below its client's mark is executed
	BugNoHorizon                             // records go for their age without a horizon
	BugProposalTimesOut                      // a proposed replica that is silent is not waited for
	BugEjectedNotAwaited                     // an acting replica that is being ejected is not waited for
	BugClockUnchecked                        // a server expires keys however far off its clock is
	BugNewestForgotten                       // a record does not vouch for its client's earlier births
	BugExpiryNotLogged                       // an expired key is called absent without a logged delete
	BugProposalDropped                       // a proposed replica that the ring no longer wants is dropped
	BugPromiseOtherEpoch                     // a promise counts though its giver has left the term
	BugHoldsEndEarly                         // any frame of a former primary ends the wait for its lease
	BugLeaseNotJoint                         // a lease does without the promise of a proposed replica
	BugConfirmShared                         // a confirmation counts for reads that came after its question
	BugMovedAfterSequencing                  // a sequenced write is answered "moved"
	BugPageTooEarly                          // a source behind the subscription answers with a page
	BugVersionWins                           // a returner keeps whatever has the higher version
	BugPageUncommitted                       // pages do not wait for the commit of what they show
	BugLooseForgotten                        // a learner forgets which pages were not committed
	BugNoWipe                                // a full copy is merged over old data
	BugNegativeUnlogged                      // an answer that changes nothing is given at once
	BugRecordUncommitted                     // a retry is answered by a record that is not committed
	BugAllOrNothing                          // a handoff waits for all targets
	BugReaderNoLease                         // a read that waited for a commit does not look at the lease
	BugOldSubscription                       // answers and acknowledgements of older subscriptions count
	BugOldMarks                              // what was synced of a replaced log counts for the new one
	BugMendOverNewer                         // a mended item replaces what an entry wrote since it was asked for
	BugMendFromBehind                        // a source whose log is shorter mends
	BugCorruptServed                         // an item that fails its checksum is answered
	BugRetireEarly                           // a draining server goes before others are enough
	BugFormerLifeAnswered                    // a write under way when its partition is made anew is answered by the new log
	BugFloorIgnored                          // a delta is built from an index that was cut off below it
	BugStateUnsynced                         // a backup tells of entries that are not durable
	BugHistoryIgnored                        // two logs are taken to agree as far as the shorter goes
	BugLeaseWhole                            // the primary counts all of a promise, as if clocks ran alike
	BugIncarnationIgnored                    // a learner that restarted is handed to as if it had not
	BugHorizonForgotten                      // a new primary does not know the horizon
	BugPurgeOtherEpoch                       // a purge of another epoch is obeyed
	BugTailGoesOn                            // a returner keeps its tail though others went on without it
	BugBatchCheckSkipped                     // of a batch's checks only the first is looked at
	BugBatchHalfApplied                      // backups take only the first of a batch's writes
	BugNoReturners                           // a member of W that is no target does not act again, however few do
	BugFenceForgotten                        // a lock's token from before this term counts for nothing
)

func (b Bugs) on(bug Bugs) bool { return b&bug != 0 }
