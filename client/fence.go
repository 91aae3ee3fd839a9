package client

import "context"

// Fence is a lock and the token with which it was granted.
type Fence struct {
	Lock  string
	Token uint64
}

type fenceKey struct{}

// WithFence has every write under ctx carry the fence: where a higher token of the lock
// has been seen it is refused with ErrFenced, and nothing is done. So who held the lock
// once, and was paused or cut off meanwhile, overwrites nothing of whoever holds it now
// and writes with a token of its own. Keys see tokens by partition, a group of keys that
// the cluster keeps together: each sees a token with the first write that carries it.
// The idea is in Kleppmann, "How to do distributed locking" (2016).
func WithFence(ctx context.Context, f Fence) context.Context {
	return context.WithValue(ctx, fenceKey{}, f)
}
