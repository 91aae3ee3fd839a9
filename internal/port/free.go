package port

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports for private clusters and tests lie below those of outgoing connections too: a
// process that was killed must find its port free when it comes back. They are claimed
// in blocks: who listens on the first port of one may give away the others, and claims
// end with their process, however it ends.
const (
	freeFirst  = 20000
	freeBlocks = 256
	blockPorts = 31 // behind the first
	blocksMax  = 64 // of one process, which then gives its ports away again: those of killed processes may be among them
)

var free struct {
	sync.Mutex
	claims []net.Listener // never closed
	ports  []int          // of all claimed blocks
	next   int
}

// Free returns an address on this machine at which nobody listens, and which no other
// call of Free, of this process or another one, returns while it is of use: a process
// gives away some hundreds before it begins anew. Errors: no port is free.
func Free() (addr string, err error) {
	free.Lock()
	defer free.Unlock()
	for range blocksMax * blockPorts {
		if free.next == len(free.ports) {
			if err := claim(); err != nil {
				return "", err
			}
		}
		port := free.ports[free.next]
		free.next++
		if isFree(Local(port)) {
			return Local(port), nil
		}
	}
	return "", errors.New("no free port")
}

// startBlock is where a process looks first for a block.
var startBlock = func() int { return rand.IntN(freeBlocks) }

// claim adds a block, or begins anew with those that there are.
func claim() error {
	free.next = 0
	if len(free.claims) == blocksMax {
		return nil
	}
	start := startBlock()
	for i := range freeBlocks {
		first := freeFirst + (start+i)%freeBlocks*(blockPorts+1)
		l, err := net.Listen("tcp", Local(first))
		if err != nil {
			continue // another process's, or another program's
		}
		free.claims = append(free.claims, l)
		free.next = len(free.ports)
		for port := first + 1; port <= first+blockPorts; port++ {
			free.ports = append(free.ports, port)
		}
		return nil
	}
	if len(free.ports) > 0 {
		return nil
	}
	return errors.New("no free port: all blocks are claimed")
}
