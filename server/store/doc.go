// Package store keeps what one server stores, in a segment log (package seglog): the
// items, change indexes and metas of the replication cores, the server's identity, and the
// server's own local names. Every write is synced; the caller may go on before the sync has
// ended and wait for it later. Every item read is verified by its checksum. A failed write
// or sync ends the store's life: the process must stop.
package store
