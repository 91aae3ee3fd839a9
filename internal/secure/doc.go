// Package secure makes the listeners and the connections of all processes: TLS
// with certificates on both sides, and the password that every connection begins
// with.
package secure
