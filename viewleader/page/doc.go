// Package page serves the page on which people see a cluster: the ring, its partitions and
// servers, what happens to them, and whether the data is safe. Nothing on it changes anything.
//
// A Page asks the cluster as any client does, through client/admin, so it says what
// 'viewring query_servers' says, at whichever view leader it is, and costs the view leader one
// question a second, only while somebody looks. What it finds out is computed once for all who look. Paths and
// files it asks the servers for, when somebody opens one.
package page
