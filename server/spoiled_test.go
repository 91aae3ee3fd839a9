package server

import (
	"testing"

	"viewring/ring"
)

func TestDispensable(t *testing.T) {
	v := &ring.View{Partitions: []ring.Partition{
		{Acting: []ring.ServerID{1, 2, 3}, MinCopies: 2},
		{Acting: []ring.ServerID{2, 3}, MinCopies: 2},
	}}
	if !dispensable(v, 1) {
		t.Error("every partition has enough copies without s1")
	}
	if dispensable(v, 2) {
		t.Error("one of s2's partitions has just enough copies with it")
	}
}
