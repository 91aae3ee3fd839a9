package play

import "syscall"

// Reload has all processes that run read their certificates and their password again (SIGHUP).
func (c *Cluster) Reload() {
	for _, n := range append(c.servers(), c.leader) {
		if n.running() {
			_ = n.child.Signal(syscall.SIGHUP) // it may just have ended
		}
	}
}
