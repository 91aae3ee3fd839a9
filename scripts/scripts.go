// Package scripts holds the experiments that "viewring run" plays, embedded so
// that the binary can play them anywhere.
package scripts

import "embed"

// FS holds the scripts by file name.
//
//go:embed *.txt
var FS embed.FS
