// Package clients runs the Redis clients that people use against a cluster of real
// processes: commands, pipelines, routing, transactions, times to live, and what they
// lose while servers come, leave and are killed. It is a module of its own, so that
// viewring needs none of them.
package clients
