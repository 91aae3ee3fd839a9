package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"viewring/client"
	"viewring/client/admin"
	"viewring/ring"
)

// serverFlag adds the --server that commands on one server's own things need.
func serverFlag(cmd *cobra.Command, addr *string) {
	cmd.Flags().StringVar(addr, "server", "", "the server's address `ADDR` (HOST:PORT), or its id like s1")
}

// dialServer connects to the server that --server names. instead is what people
// meant who gave none, if anything.
func (a *app) dialServer(ctx context.Context, addr, instead string) (*admin.Server, error) {
	if addr == "" {
		hint := ""
		if instead != "" {
			hint = "; did you mean " + instead + "?"
		}
		return nil, usagef("%s: --server ADDR is missing%s", a.path(), hint)
	}
	if _, err := ring.ParseServerID(addr); err == nil {
		resolved, err := a.resolve(ctx, addr)
		if err != nil {
			return nil, err
		}
		addr = resolved
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, usagef("--server must be HOST:PORT or an id like s1, not %q", addr)
	}
	return admin.DialServer(ctx, addr, a.dialer())
}

// resolve finds the address of a server by its id.
func (a *app) resolve(ctx context.Context, id string) (string, error) {
	n, err := ring.ParseServerID(id)
	if err != nil {
		return "", err
	}
	c, err := a.openCluster(ctx)
	if err != nil {
		return "", err
	}
	defer c.Close()
	m := c.View().Member(n)
	if m == nil {
		return "", fmt.Errorf("server %s: %w", id, client.ErrNotFound)
	}
	return m.Addr, nil
}

// dialed is a member, and the connection to it or why there is none.
type dialed struct {
	name   string
	server *admin.Server
	err    error
}

// dialAllMax is how long a member that does not answer holds up the others.
const dialAllMax = 3 * time.Second

// dialAll connects to all members side by side. The caller closes those that have a server.
func (a *app) dialAll(ctx context.Context) ([]*dialed, error) {
	c, err := a.openCluster(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, dialAllMax)
	defer cancel()
	var all []*dialed
	var dialing sync.WaitGroup
	for _, m := range c.View().Members {
		d := &dialed{name: m.ID.String()}
		all = append(all, d)
		if d.err = errors.New("it is down"); m.Up {
			dialing.Go(func() { d.server, d.err = admin.DialServer(ctx, m.Addr, a.dialer()) })
		}
	}
	dialing.Wait()
	return all, nil
}
