package cli

import (
	"context"
	"fmt"
	"strconv"
)

// What a command under a lock finds in its environment.
const (
	lockEnv  = envPrefix + "LOCK"
	tokenEnv = envPrefix + "TOKEN"
)

// lockRun takes a lock in a session of its own and runs a command under it.
func (a *app) lockRun(ctx context.Context, lock, holder string, command []string, f *lockGetFlags) error {
	cmd, err := a.program(command)
	if err != nil {
		return err
	}
	waiting, cancel := a.deadline(ctx)
	defer cancel()
	c, err := a.open(waiting)
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := c.OpenSession(waiting, f.SessionOptions)
	if err != nil {
		return err
	}
	defer a.closeSession(ctx, s, fmt.Sprintf("the lock is free within %v", f.SessionOptions.TTL+f.LockDelay))
	f.OnDeadlock = a.tellDeadlock
	f.waitUntil(waiting)
	grant, err := s.LockGet(waiting, lock, holder, f.LockOptions)
	if err != nil {
		return a.notGranted(waiting, lock, err)
	}
	cancel()
	cmd.Env = append(a.childEnviron(), lockEnv+"="+lock, tokenEnv+"="+strconv.FormatUint(grant.Token, 10))
	r := &sessionRun{cmd: cmd, session: s, grace: f.LockDelay / 2, what: fmt.Sprintf("lock %q", lock)}
	r.expire(f.ttl)
	return a.runInSession(r)
}
