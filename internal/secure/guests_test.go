package secure_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/secure"
)

// Guests who stay are cut off, the first ones first, and after a second only; who leaves makes room at
// once.
func TestGuests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := secure.NewGuests(2)
		var cut []string
		enter := func(name string) func() { return g.Enter(t.Context(), func() { cut = append(cut, name) }) }
		began := time.Now()
		enter("a")
		leave := enter("b")
		leave()
		leave()
		enter("c")
		if took := time.Since(began); took != 0 || len(cut) != 0 {
			t.Errorf("with room it took %v, %v were cut off", took, cut)
		}
		enter("d")
		if took := time.Since(began); took != time.Second || len(cut) != 1 || cut[0] != "a" {
			t.Errorf("without room it took %v, %v were cut off", took, cut)
		}
		enter("e")
		if len(cut) != 2 || cut[1] != "c" || g.Len() != 2 {
			t.Errorf("%v were cut off, %d are there", cut, g.Len())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		g.Enter(ctx, func() {})()
	})
}
