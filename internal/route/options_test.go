package route

import (
	"slices"
	"testing"
)

// TestDefaultsLeaveOptionsAlone: the slices of the options are their caller's.
func TestDefaultsLeaveOptionsAlone(t *testing.T) {
	addrs := []string{"leader:1", "behind", "it"}
	o := Options{Leaders: addrs[:1], Servers: []string{"server:1"}}
	setDefaults(&o)
	if !slices.Equal(addrs, []string{"leader:1", "behind", "it"}) {
		t.Fatalf("the caller's array is %q", addrs)
	}
}
