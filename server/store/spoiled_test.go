package store

import (
	"testing"
	"time"
)

// A store is spoiled when its compactions fail without a pause for long; not while
// damaged partitions are being cut out, and not for failures now and then.
func TestSpoiled(t *testing.T) {
	at := time.Unix(1000, 0)
	var d spoiled
	if d.persists(at) {
		t.Error("spoiled from the start")
	}
	said := 0
	for end := at.Add(spoiledPatience); at.Before(end); at = at.Add(time.Second) {
		if d.note(at) {
			said++
		}
		if d.persists(at) {
			t.Fatalf("spoiled too early: %v", at)
		}
	}
	d.note(at)
	if !d.persists(at) {
		t.Error("not spoiled")
	}
	if most := int(spoiledPatience/spoiledSayEvery) + 1; said == 0 || said > most {
		t.Errorf("said %d times", said)
	}
	at = at.Add(spoiledGap + time.Second)
	if d.persists(at) {
		t.Error("still spoiled, though nothing fails any more")
	}
	d.note(at)
	if d.persists(at) {
		t.Error("a failure long after the others counts with them")
	}
}
