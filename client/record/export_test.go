package record

import "viewring/client"

// Options are those of the cluster that the tests share, for examples.
func Options() client.Options { return cluster().Options() }
