package dav

import (
	"errors"
	"strings"
	"testing"
)

// TestTableBounds: the locks are kept as they are said, and take a bounded number of bytes.
func TestTableBounds(t *testing.T) {
	var all table
	owner := strings.Repeat("<a/>", ownerMax/4)
	for {
		before := len(all.locks)
		err := all.add(lock{Token: "urn:x", Root: "/f", Owner: owner})
		if errors.Is(err, ErrTooMany) && len(all.locks) == before {
			break
		}
		if err != nil || len(all.locks) != before+1 {
			t.Fatalf("%d locks, %v", len(all.locks), err)
		}
	}
	b, err := all.encode()
	if err != nil || len(b) > tableMax || len(b) < tableMax-2*ownerMax {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if n := len(all.locks); n < 200 {
		t.Errorf("there is room for %d only", n)
	}
	small := table{locks: make([]lock, locksMax)}
	if err := small.add(lock{}); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
}
