package vocab

import (
	"time"

	"viewring/ring"
)

// ServerStats is what a server says of itself with each heartbeat.
type ServerStats struct {
	Primaries, Backups, Learners, Strays uint32 // partitions
	Keys                                 uint64 // user keys, all copies held there
	Bytes                                uint64 // of their values
	Left                                 uint32 // transfers still to make
	LeftBytes                            uint64 // estimate
	Rate                                 uint64 // bytes/s copied in, lately
	DiskFree                             uint64
	MovedPartitions                      uint64 // since start, copied whole into an empty range
	DeltaPartitions                      uint64 // since start, copied by what changed
	CopiedKeys                           uint64 // since start, by rebalancing
	Clients                              uint32 // connections
	ClientsRefused                       uint64 // since start, connections refused
	ClientsCut                           uint64 // since start, of clients that did not read
	RequestsRefused                      uint64 // since start, too large or too many at once
	Corrupt                              uint64 // since start, keys and metas that could not be read
	Repaired, Unrepairable               uint64 // of these: repaired; corrupt on every acting replica
	Full                                 bool   // its disk nearly is: it takes nothing new

	// The fields below were added later. They are 0 if the server, or the view leader that
	// passes them on, is of an earlier build.

	LogKeys, LogSegments            uint64 // items in the log's index, user keys and others; files
	LogDisk, LogLive, LogTombstones uint64 // bytes: of the files; of what is needed; of deletions that are kept
	LogWritten, LogCopied, LogFreed uint64 // since start: bytes of frames, of these copied by collection; segments
	Checkpoints, CheckpointBytes    uint64 // since start
	LogDamage                       uint64 // since start, damaged records, frames and segments that were met
	Collecting, Checkpointing       bool   // now
	KnowsWeights                    bool   // its build places by weight
	Memory                          uint64 // bytes that the server may take, and of these:
	IndexBytes                      uint64 // the log's index
	ItemBytes, ItemBytesMax         uint64 // items kept; the most that it keeps
	RequestBytes, RequestBytesMax   uint64 // requests and answers under way; the most that may be
	CertExpires                     uint64 // when its certificate expires, unix seconds; 0: it has none
	LoginsRefused                   uint64 // since start, of clients and peers
	Files, FilesMax                 uint64 // file descriptors: in use, about; that the system lets it have
	Unlinked                        uint64 // servers that are up, and that it can't connect to; of these one:
	UnlinkedTo, UnlinkedWhy         uint64 // its id; one of the Unlinked constants
	MoveDone, MoveDoneBytes         uint64 // copies made, and bytes, since it began to lack what is Left
	MoveSeen                        uint64 // bytes/s copied in when it last lacked something; 0: not since its start
	MoveLimit                       uint64 // bytes/s that it may copy in; 0: any
	Waiting                         uint64 // copies that do not come; of these most for one reason:
	WaitingWhy, WaitingOn           uint64 // one of the Waiting constants; a server's id, 0: none
	WaitingSeconds                  uint64 // for how long, at most
	MoveAllowed                     uint64 // bytes/s that it may copy in now; 0: any, or nothing is Left
	MoveHeld                        uint64 // who holds that back: one of the Held constants
}

// Why copies do not come to a server.
const (
	WaitingPaused  = 1 // an operator has paused its copying
	WaitingFull    = 2 // its disk is nearly full
	WaitingLimit   = 3 // the rate that it may copy in holds them back
	WaitingPrimary = 4 // they have everything, and the primary does not let them act
	WaitingSlow    = 5 // nothing comes of them from where others come
	WaitingSilent  = 6 // nothing comes from there
	WaitingClients = 7 // it is left to clients to go first
)

// Who holds back what a server copies in.
const (
	HeldByNobody  = 0
	HeldByRate    = 1 // an operator, by a rate
	HeldByOwn     = 2 // its clients
	HeldBySources = 3 // the clients of those that it copies from
)

// Why a server can't connect to another one.
const (
	UnlinkedUnknown     = iota // it does not answer, or hangs up
	UnlinkedCertificate        // this server does not believe the other's certificate
	UnlinkedRefused            // the other one does not believe this server's certificate
	UnlinkedPassword           // the other one has another password, or none
	UnlinkedFiles              // this server has no file descriptor left
	UnlinkedTLS                // one of them speaks TLS, and the other does not
)

// UnlinkedPeer is a server that another one can't connect to.
type UnlinkedPeer struct {
	ID    ring.ServerID
	Why   uint64    // one of the constants above
	Since time.Time // to microseconds
	Text  string    // what the last try said
}

// Stored is how many bytes all that the server holds takes: keys, paths, files and records, with their names.
// Servers of earlier builds tell those of keys' values alone.
func (s *ServerStats) Stored() uint64 {
	return max(s.Bytes, s.LogLive)
}

// logOverhead is about what the log needs beside a key and its item.
const logOverhead = 80

// Carried is how many bytes a copy of all that the server holds is, about: the values of keys, and what else is stored where
// that is more than the log's own needs explain (an eighth).
func (s *ServerStats) Carried() uint64 {
	other := s.LogLive - min(s.LogLive, s.Bytes+logOverhead*s.LogKeys)
	if other <= s.Bytes/8 {
		other = 0
	}
	return s.Bytes + other
}

// LogGarbage returns the bytes of the log's files that no record needs: what is dead,
// deletions that are kept, what holds the records, and the space not written to yet.
func (s *ServerStats) LogGarbage() uint64 { return s.LogDisk - min(s.LogDisk, s.LogLive) }
