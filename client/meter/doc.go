// Package meter measures what clients have the servers of a cluster do: requests a second, and how long
// they take. A server only counts, from its start on; two answers of it make a rate. The page of the view
// leader and the screen of query_servers show what Meters says.
package meter
