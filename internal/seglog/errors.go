package seglog

import "errors"

// Errors of the store.
var (
	// ErrCorrupt is wrapped by errors of reads that met damage: what was asked for
	// may be there, or may not.
	ErrCorrupt = errors.New("corrupt record")
	// ErrClosed is the error of a store that was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrFull is the error of a batch that adds, when the disk has no more space than what
	// deletions, checkpoints and collection need. Nothing of the batch is done.
	ErrFull = errors.New("the disk is full")
	// ErrFormat is wrapped where the folder holds something else than this build's store.
	ErrFormat = errors.New("not a store of this format")
)
