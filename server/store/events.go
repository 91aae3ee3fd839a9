package store

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// listener overrides what would kill the process: damage in a file is told to
// whoever reads it, as replica.ErrCorrupt, and counted.
func (s *Store) listener() *pebble.EventListener {
	return &pebble.EventListener{
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.corruptions.Add(1)
			if _, said := s.damagedFiles.LoadOrStore(info.Path, true); !said { // once: every touch comes here
				s.logger.Error("a file of the store is damaged", "path", info.Path, "details", info.Details)
			}
		},
		BackgroundError: func(err error) {
			if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EIO) {
				s.fail(fmt.Errorf("background work: %w", err)) // a disk that lost a write is not asked again
				return
			}
			if pebble.IsCorruptionError(err) {
				if !s.compactions.caused(err) {
					// Pebble gathers statistics of tables, on a goroutine that holds
					// no lock, and begins again at once after a bad block.
					time.Sleep(compactAgainMin)
				}
				if !s.spoiled.note(time.Now()) {
					return // said a moment ago
				}
			}
			s.logger.Error("the store's background work failed, it will be tried again", "err", err)
		},
		CompactionEnd: func(info pebble.CompactionInfo) {
			if !errors.Is(info.Err, pebble.ErrCancelledCompaction) {
				s.compactions.finished(info.Err, time.Now())
			}
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			s.logger.Warn("the store can't keep up, writes wait", "reason", info.Reason)
		},
		LowDiskSpace: func(info pebble.LowDiskSpaceInfo) {
			s.logger.Warn("the disk is nearly full", "free", info.AvailBytes, "of", info.TotalBytes)
		},
	}
}

// pebbleLogger passes on what Pebble says.
type pebbleLogger struct{ s *Store }

func (l pebbleLogger) Infof(format string, args ...any) {
	l.s.logger.Debug("pebble", "says", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.s.logger.Error("pebble", "says", fmt.Sprintf(format, args...))
}

// Fatalf must not return: Pebble goes on as if the write had been made. The
// process is told to stop and the goroutine ends here.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf(format, args...))
	runtime.Goexit()
}
