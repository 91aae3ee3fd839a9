package seglog

import "errors"

// Errors of the store.
var (
	// ErrCorrupt is wrapped by errors of reads that met damage: what was asked for
	// may be there, or may not.
	ErrCorrupt = errors.New("corrupt record")
	// ErrClosed is the error of a store that was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrFormat is wrapped where the folder holds something else than this build's store.
	ErrFormat = errors.New("not a store of this format")
)
