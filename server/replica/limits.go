package replica

import (
	"cmp"
	"time"
)

// Limits bound what a partition keeps. A zero field is its default; tests make
// them small, so that every bound is met.
type Limits struct {
	IndexRows      uint64        // rows kept in the change index
	IndexTrimEvery uint64        // entries between two trims
	IndexKeys      int           // keys in entries between two trims, should these come first
	IndexBytes     int64         // of rows kept in any case
	DeltaBytes     int           // rows of a delta, all in one message
	FlightBytes    int           // entries not yet committed, beyond which writes queue
	KeptBytes      int           // entries kept for a slow learner
	StageBytes     int           // a delta staged in memory
	WatchRows      int           // of the index that one replay looks at
	RecordTTL      time.Duration // that a request's record is kept at most
	RecordGCEvery  time.Duration // between two looks for older ones
}

func (l Limits) orDefault() Limits {
	return Limits{
		IndexRows:      cmp.Or(l.IndexRows, indexRowsMax),
		IndexTrimEvery: cmp.Or(l.IndexTrimEvery, indexTrimEvery),
		IndexKeys:      cmp.Or(l.IndexKeys, indexKeysMax),
		IndexBytes:     cmp.Or(l.IndexBytes, indexBytesMin),
		DeltaBytes:     cmp.Or(l.DeltaBytes, deltaBytesMax),
		FlightBytes:    cmp.Or(l.FlightBytes, windowBytesMax),
		KeptBytes:      cmp.Or(l.KeptBytes, windowKeptMax),
		WatchRows:      cmp.Or(l.WatchRows, watchRowsMax),
		StageBytes:     cmp.Or(l.StageBytes, stageBytesMax),
		RecordTTL:      cmp.Or(l.RecordTTL, recordTTL),
		RecordGCEvery:  cmp.Or(l.RecordGCEvery, recordGCEvery),
	}
}
