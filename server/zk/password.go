package zk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// passwordBytes is the length of the password of a session.
const passwordBytes = 16

// passwordKey derives the key of passwords from the cluster's name for itself. All fronts of a
// cluster have the same, so a session may go to any of them. It keeps honest clients out of
// sessions that they mix up, as ZooKeeper's own passwords do; who may connect is said by TLS and
// by the cluster's password.
func passwordKey(cluster [16]byte) []byte {
	sum := sha256.Sum256(append([]byte("viewring session of ZooKeeper's protocol"), cluster[:]...))
	return sum[:]
}

// password is that of a session: its time to live, and what proves both.
func (f *Front) password(session uint64, ttl time.Duration) []byte {
	ms := binary.BigEndian.AppendUint32(nil, uint32(ttl.Milliseconds()))
	mac := hmac.New(sha256.New, f.key)
	_, _ = mac.Write(binary.BigEndian.AppendUint64(ms[:len(ms):len(ms)], session)) // never fails
	return mac.Sum(ms)[:passwordBytes]
}

// ttlOf is the time to live of a session that a client knows the password of; false where it is
// another.
func (f *Front) ttlOf(session uint64, password []byte) (time.Duration, bool) {
	if len(password) != passwordBytes {
		return 0, false
	}
	ttl := time.Duration(binary.BigEndian.Uint32(password)) * time.Millisecond
	return ttl, hmac.Equal(f.password(session, ttl), password)
}
