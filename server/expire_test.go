package server

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"viewring/internal/wire"
)

// TestExpiryCommands compares with what Redis 7 replies, errors to the letter.
func TestExpiryCommands(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	conn := dial(t, c.servers[1].Addr())
	const (
		syntax     = "ERR syntax error"
		notInteger = "ERR value is not an integer or out of range"
	)
	for _, step := range []struct{ command, want string }{
		{"TTL k", "-2"}, {"PTTL k", "-2"}, {"EXPIRETIME k", "-2"}, {"EXPIRE k 10", "0"}, {"PERSIST k", "0"},
		{"SET k v", "OK"}, {"TTL k", "-1"}, {"PTTL k", "-1"}, {"PEXPIRETIME k", "-1"}, {"PERSIST k", "0"},
		{"EXPIRE k 100", "1"}, {"TTL k", "100"}, {"PERSIST k", "1"}, {"TTL k", "-1"},
		{"SET k v EX 100", "OK"}, {"TTL k", "100"}, {"APPEND k w", "2"}, {"TTL k", "100"}, {"SET k 5 KEEPTTL", "OK"}, {"INCR k", "6"}, {"TTL k", "100"},
		{"SET k v", "OK"}, {"TTL k", "-1"}, {"SET k v px 90000 xx", "OK"}, {"TTL k", "90"},
		{"SET k v EXAT 33177117420", "OK"}, {"EXPIRETIME k", "33177117420"}, {"PEXPIREAT k 33177117420999", "1"}, {"PEXPIRETIME k", "33177117420999"},
		{"EXPIREAT k 33177117420", "1"}, {"PEXPIRETIME k", "33177117420000"},
		{"SET k v PXAT 1", "OK"}, {"GET k", ""}, {"TTL k", "-2"}, {"SET k v NX", "OK"},
		{"EXPIRE k 0", "1"}, {"EXISTS k", "0"}, {"SET k v", "OK"}, {"PEXPIRE k -5", "1"}, {"GET k", ""},
		{"SET k v", "OK"}, {"EXPIREAT k -5", "1"}, {"DEL k", "0"},
		{"SET k v EX", syntax}, {"SET k v EX 1 PX 1", syntax}, {"SET k v EX 1 KEEPTTL", syntax}, {"SET k v NX XX", syntax}, {"SET k v what", syntax},
		{"SET k v EX x", notInteger}, {"SET k v EX 0", "ERR invalid expire time in 'set' command"}, {"SET k v PXAT -1", "ERR invalid expire time in 'set' command"},
		{"EXPIRE k x", notInteger}, {"EXPIRE k 9223372036854775807", "ERR invalid expire time in 'expire' command"},
		{"PEXPIREAT k -9223372036854775808", "ERR invalid expire time in 'pexpireat' command"}, {"EXPIRE k 10 soon", "ERR Unsupported option soon"},
		{"GET k", ""},
	} {
		v, err := ask(t, conn, strings.Fields(step.command)...)
		got := v.Text()
		var reply *wire.ServerError
		if errors.As(err, &reply) {
			got = reply.Error()
		} else if err != nil {
			t.Fatal(err)
		}
		if got != step.want {
			t.Errorf("%s: %q, want %q", step.command, got, step.want)
		}
	}
}

// TestExpiredKeysAreSwept: a key that nobody reads goes, on every replica.
func TestExpiredKeysAreSwept(t *testing.T) {
	c := startCluster(t, 3, 8, 2)
	c.waitBalanced()
	const keys = 40
	for i := range keys {
		key := "key" + strconv.Itoa(i)
		if _, err := c.do([]byte("SET"), []byte(key), []byte("v"), []byte("PX"), []byte("100")); err != nil {
			t.Fatal(err)
		}
	}
	c.set("stays", "here")
	began := time.Now()
	c.wait("the sweepers", func() bool {
		left := uint64(0)
		for _, s := range c.servers {
			left += s.stats().Keys
		}
		return left == 3
	})
	t.Logf("%d expired keys were gone from three servers after %v", keys, time.Since(began).Round(time.Millisecond))
	c.expect("stays", "here")
}
