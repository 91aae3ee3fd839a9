package jute

import "fmt"

// Op is the type of a request.
type Op int32

// The requests of clients, and what answers some of them.
const (
	OpCreate          Op = 1  // Path, Data, ACL, Flags → path
	OpDelete          Op = 2  // Path, Version
	OpExists          Op = 3  // Path, Watch → Stat
	OpGetData         Op = 4  // Path, Watch → data, Stat
	OpSetData         Op = 5  // Path, Data, Version → Stat
	OpGetACL          Op = 6  // Path → ACL, Stat
	OpSetACL          Op = 7  // Path, ACL, Version → Stat
	OpGetChildren     Op = 8  // Path, Watch → names
	OpSync            Op = 9  // Path → path
	OpPing            Op = 11 // xid PingXid
	OpGetChildren2    Op = 12 // Path, Watch → names, Stat
	OpCheck           Op = 13 // Path, Version; in a multi
	OpMulti           Op = 14 // Ops → results
	OpCreate2         Op = 15 // as OpCreate → path, Stat
	OpCheckWatches    Op = 17 // Path, Mode
	OpRemoveWatches   Op = 18 // Path, Mode
	OpCreateContainer Op = 19 // as OpCreate2
	OpCreateTTL       Op = 21 // as OpCreate2, and TTL
	OpMultiRead       Op = 22 // Ops → results
	OpAuth            Op = 100
	OpSetWatches      Op = 101 // Zxid, Watches up to Children; xid SetWatchesXid
	OpSetWatches2     Op = 105 // Zxid, Watches
	OpAddWatch        Op = 106 // Path, Mode
	OpClose           Op = -11
	OpError           Op = -1 // in the results of a multi
)

// The xids that mean something.
const (
	EventXid      int32 = -1 // of what answers nothing
	PingXid       int32 = -2
	AuthXid       int32 = -4
	SetWatchesXid int32 = -8
)

// Code is what became of a request.
type Code int32

// The codes that are told.
const (
	OK                      Code = 0
	SystemError             Code = -1
	RuntimeInconsistency    Code = -2 // of a change of a multi that was not tried
	ConnectionLoss          Code = -4 // nobody knows whether it was done
	MarshallingError        Code = -5 // of a request that can't be read, or an answer that is too long
	Unimplemented           Code = -6
	BadArguments            Code = -8
	NoNode                  Code = -101
	NoAuth                  Code = -102
	BadVersion              Code = -103
	NoChildrenForEphemerals Code = -108
	NodeExists              Code = -110
	NotEmpty                Code = -111
	InvalidACL              Code = -114
	AuthFailed              Code = -115
	NoWatcher               Code = -121
)

var codeNames = map[Code]string{
	OK: "ok", SystemError: "system error", RuntimeInconsistency: "runtime inconsistency", ConnectionLoss: "connection loss", MarshallingError: "marshalling error",
	Unimplemented: "unimplemented", BadArguments: "bad arguments", NoNode: "no node", NoAuth: "no auth", BadVersion: "bad version",
	NoChildrenForEphemerals: "no children for ephemerals", NodeExists: "node exists", NotEmpty: "not empty",
	InvalidACL: "invalid ACL", AuthFailed: "auth failed", NoWatcher: "no watcher",
}

// String is the code's name.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code %d", int32(c))
}

// Event is what a watch tells of its path.
type Event int32

// The events.
const (
	NodeCreated         Event = 1
	NodeDeleted         Event = 2
	NodeDataChanged     Event = 3
	NodeChildrenChanged Event = 4
)

// The flags of a creation, as one number.
const (
	Persistent           int32 = 0
	Ephemeral            int32 = 1
	PersistentSequential int32 = 2
	EphemeralSequential  int32 = 3
	Container            int32 = 4
)

// The modes of OpAddWatch.
const (
	WatchPersistent          int32 = 0
	WatchPersistentRecursive int32 = 1
)

// The kinds of watches that OpRemoveWatches and OpCheckWatches name by Mode.
const (
	WatchersChildren   int32 = 1
	WatchersData       int32 = 2
	WatchersAny        int32 = 3
	WatchersPersistent int32 = 4
	WatchersRecursive  int32 = 5
)
