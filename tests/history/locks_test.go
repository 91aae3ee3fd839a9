package history

import (
	"testing"
	"time"
)

// TestLockHistoryJudged: what cannot be is found, and what nobody saw excuses no more
// than it may have caused.
func TestLockHistoryJudged(t *testing.T) {
	at := func(op LockOp, call, back int) LockOp {
		op.Lock, op.Call, op.Return = "l", time.Duration(call), time.Duration(back)
		return op
	}
	other := func(op LockOp) LockOp {
		op.Lock = "another"
		return op
	}
	a := at(LockOp{Owner: "a", Token: 1}, 0, 1)
	free := at(LockOp{Owner: "a", Token: 1, Kind: LockFree}, 2, 3)
	late := at(LockOp{Owner: "a", Token: 2, Kind: LockFree}, 6, 7)
	gone := at(LockOp{Owner: "a", Token: 1, Kind: LockLost}, 2, 3)
	asked := at(LockOp{Owner: "a", Unknown: true}, 4, 9)
	any := at(LockOp{Owner: "a", Token: 1, Kind: LockFree, Any: true}, 6, 7)
	for what, c := range map[string]struct {
		ops []LockOp
		bad bool
	}{
		"one after the other":      {ops: []LockOp{a, free, at(LockOp{Owner: "b", Token: 2}, 2, 5)}},
		"two at a time":            {ops: []LockOp{a, at(LockOp{Owner: "b", Token: 2}, 2, 3), at(LockOp{Owner: "a", Token: 1, Kind: LockFree}, 4, 5)}, bad: true},
		"a token goes back":        {ops: []LockOp{at(LockOp{Owner: "a", Token: 3}, 0, 1), at(LockOp{Owner: "a", Token: 3, Kind: LockFree}, 2, 3), at(LockOp{Owner: "b", Token: 2}, 4, 5)}, bad: true},
		"readers":                  {ops: []LockOp{at(LockOp{Owner: "a", Token: 1, Shared: true}, 0, 1), at(LockOp{Owner: "b", Token: 2, Shared: true}, 2, 3)}},
		"a writer among them":      {ops: []LockOp{at(LockOp{Owner: "a", Token: 1, Shared: true}, 0, 1), at(LockOp{Owner: "b", Token: 2}, 2, 3)}, bad: true},
		"lost, then another's":     {ops: []LockOp{a, at(LockOp{Owner: "a", Token: 1, Kind: LockLost}, 2, 2), at(LockOp{Owner: "b", Token: 2}, 3, 4)}},
		"refused though free":      {ops: []LockOp{a, free, at(LockOp{Owner: "b", Refused: true}, 4, 5)}, bad: true},
		"refused, perhaps held":    {ops: []LockOp{a, free, at(LockOp{Owner: "c", Unknown: true}, 2, 0), at(LockOp{Owner: "b", Refused: true}, 4, 5)}},
		"refused, not held then":   {ops: []LockOp{a, free, at(LockOp{Owner: "c", Unknown: true}, 2, 3), at(LockOp{Owner: "b", Refused: true}, 4, 5)}, bad: true},
		"granted after all":        {ops: []LockOp{a, free, at(LockOp{Owner: "c", Unknown: true}, 2, 0), at(LockOp{Owner: "b", Token: 3}, 4, 5)}},
		"no token left for it":     {ops: []LockOp{a, free, at(LockOp{Owner: "c", Unknown: true}, 2, 5), at(LockOp{Owner: "b", Refused: true}, 4, 5), at(LockOp{Owner: "b", Token: 2}, 6, 7)}, bad: true},
		"a token left for it":      {ops: []LockOp{a, free, at(LockOp{Owner: "c", Unknown: true}, 2, 5), at(LockOp{Owner: "b", Refused: true}, 4, 5), at(LockOp{Owner: "b", Token: 3}, 6, 7)}},
		"one token for two":        {ops: []LockOp{a, free, at(LockOp{Owner: "b", Token: 1}, 4, 5)}, bad: true},
		"another grant's release":  {ops: []LockOp{a, late, at(LockOp{Owner: "b", Token: 3}, 8, 9)}, bad: true},
		"whatever grant it has":    {ops: []LockOp{a, gone, asked, any, at(LockOp{Owner: "b", Token: 3}, 8, 9)}},
		"the same again":           {ops: []LockOp{a, at(LockOp{Owner: "a", Token: 1}, 2, 3)}},
		"a new one, without a gap": {ops: []LockOp{a, at(LockOp{Owner: "a", Token: 2}, 2, 3)}, bad: true},
		"lost, not yet":            {ops: []LockOp{a, at(LockOp{Owner: "a", Token: 1, Kind: LockLost}, 5, 0), at(LockOp{Owner: "b", Token: 2}, 3, 4)}, bad: true},
		"release, perhaps":         {ops: []LockOp{a, at(LockOp{Owner: "a", Token: 1, Kind: LockFree, Unknown: true}, 2, 0), at(LockOp{Owner: "b", Token: 2}, 3, 4)}},
		"another's release":        {ops: []LockOp{a, at(LockOp{Owner: "b", Token: 1, Kind: LockFree}, 2, 3)}, bad: true},
		"lost without a reason":    {ops: []LockOp{a, at(LockOp{Owner: "a", Token: 1, Kind: LockFree, Refused: true}, 2, 3)}, bad: true},
		"refused, it has another":  {ops: []LockOp{a, gone, at(LockOp{Owner: "a", Token: 2}, 4, 5), at(LockOp{Owner: "a", Token: 1, Kind: LockFree, Refused: true}, 6, 7)}},
		"refused, whatever it has": {ops: []LockOp{a, gone, at(LockOp{Owner: "a", Token: 2}, 4, 5), at(LockOp{Owner: "a", Kind: LockFree, Any: true, Refused: true}, 6, 7)}, bad: true},
		"a lower token elsewhere":  {ops: []LockOp{at(LockOp{Owner: "a", Token: 3}, 0, 1), other(at(LockOp{Owner: "b", Token: 2}, 2, 3))}, bad: true},
		"a lower one meanwhile":    {ops: []LockOp{at(LockOp{Owner: "a", Token: 3}, 0, 2), other(at(LockOp{Owner: "b", Token: 2}, 1, 3))}},
	} {
		var h LockHistory
		for _, op := range c.ops {
			h.Add(op)
		}
		if err := h.Check(); (err != nil) != c.bad {
			t.Errorf("%s: %v", what, err)
		}
	}
}
