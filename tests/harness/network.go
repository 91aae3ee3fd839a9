package harness

import (
	"testing"

	"viewring/client/cli/network"
)

// Outside is who no process of the cluster is: the test and its clients.
const Outside = network.Outside

// Network carries the connections to every process of a cluster, so that a test
// can disturb them by who speaks to whom.
type Network struct {
	*network.Network
	t *testing.T
}

// NewNetwork makes a network that ends with the test.
func NewNetwork(t *testing.T) *Network {
	n := &Network{network.New(), t}
	t.Cleanup(n.Close)
	return n
}

// Listen opens an address at which process name is reached; it listens itself at target.
func (n *Network) Listen(name, target string) string {
	n.t.Helper()
	addr, err := n.Network.Listen(name, target)
	if err != nil {
		n.t.Fatal(err)
	}
	return addr
}
