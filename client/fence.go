package client

import "context"

// Fence is a lock and the token with which it was granted.
type Fence struct {
	Lock  string
	Token uint64
}

type fenceKey struct{}

// WithFence has every mutation under ctx carry the fence: a partition that has seen
// a higher token of the lock refuses it with ErrFenced, and nothing is done. So who
// held the lock once, and was paused or cut off meanwhile, overwrites nothing of
// whoever holds it now and writes with its own token. Each partition learns a token
// by the first write that carries it.
func WithFence(ctx context.Context, f Fence) context.Context {
	return context.WithValue(ctx, fenceKey{}, f)
}
