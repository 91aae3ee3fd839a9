// Package gateway makes the whole cluster look like one plain Redis: any key at
// one address, for clients that know nothing of clusters.
package gateway
