// Package web lets clients of HTTP (RFC 9110) in to the files of a cluster: programs such as curl,
// browsers, and clients of WebDAV (RFC 4918). A front keeps nothing: any number of them may
// serve the same cluster.
package web
