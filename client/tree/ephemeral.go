package tree

import (
	"context"
	"fmt"
	"time"

	"viewring/client"
)

// CreateEphemeral creates a node that goes with a session: the servers remove it once the view
// leader has ended the session, soon after that and never before. It has no children. A node
// that exists, of whichever session, is ErrNodeExists, also with Parents.
//
// The session may be any client's of the same cluster. Where it is over, the error is that of
// Session.Err; a node that was created all the same is removed.
func (t *Tree) CreateEphemeral(ctx context.Context, s *client.Session, path string, value []byte, options ...CreateOption) (string, error) {
	name := fmt.Sprintf("create %.200q", path)
	if err := s.Err(); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	made, err := t.create(ctx, path, value, combined(options), s.ID())
	if err == nil && !time.Now().Before(s.Until()) {
		// This process stood still, and looks at an old answer before it finds out.
		<-s.Done()
	}
	if why := s.Err(); why != nil {
		return "", fmt.Errorf("%s: %w", name, why)
	}
	return made, err
}
