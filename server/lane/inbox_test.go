package lane

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
)

// TestInboxBound fills an inbox: putting waits until something was taken, forcing
// does not, and nothing is lost or reordered. Who waits for room in an inbox gets it when events are taken, also
// where it is full to the brim and no further.
func TestInboxBound(t *testing.T) {
	for _, forced := range []uint64{0, 1} {
		t.Run(fmt.Sprint(forced, " forced"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testInboxBound(t, eventsMax+forced) })
		})
	}
}

func testInboxBound(t *testing.T, full uint64) {
	b := newInbox()
	for n := range uint64(eventsMax) {
		b.put(Event{n: n})
	}
	for n := uint64(eventsMax); n < full; n++ {
		b.force(Event{n: n})
	}
	put := make(chan struct{})
	go func() {
		b.put(Event{n: full})
		close(put)
	}()
	synctest.Wait()
	select {
	case <-put:
		t.Error("a full inbox took an event")
	default:
	}
	taken := b.take(nil)
	synctest.Wait()
	select {
	case <-put:
	default:
		b.close() // lets it go
		t.Fatal("there is room, and who waits for it is not told")
	}
	taken = append(taken, b.take(nil)...)
	if uint64(len(taken)) != full+1 {
		t.Fatalf("%d events", len(taken))
	}
	for i, e := range taken {
		if e.n != uint64(i) {
			t.Fatalf("event %d at place %d", e.n, i)
		}
	}
}

func TestInboxCloseLetsGo(t *testing.T) {
	b := newInbox()
	b.put(make([]Event, eventsMax)...)
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			b.put(Event{})
		}()
	}
	b.close()
	waiting.Wait()
}
