// Package http runs clients of HTTP and WebDAV that people use against viewring's HTTP front:
// curl, wget, rclone, and litmus, the test suite of WebDAV servers.
package http
