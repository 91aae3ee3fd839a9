package viewleader

import (
	"testing"

	"viewring/internal/codec"
	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// TestGroupCodecs reads back what members store and send, and refuses what is cut
// short.
func TestGroupCodecs(t *testing.T) {
	m := &membership{next: 6, awaited: []string{"h:9"}, members: []member{{id: 1, addr: "h:1", store: [16]byte{1}}, {id: 5, addr: "h:2", replaces: 2}}}
	b := appendMembership(nil, origin{7, 8}, m)
	from, got, err := decodeMembership(b)
	if err != nil || from != (origin{7, 8}) || string(got.append(nil)) != string(m.append(nil)) {
		t.Fatalf("%+v %+v, %v", from, got, err)
	}
	for i := range b {
		if _, _, err := decodeMembership(b[:i]); err == nil {
			t.Fatalf("a membership of %d bytes was taken with %d", len(b), i)
		}
	}
	a := newAnswered()
	a.remember(wire.CommandID{1}, roster.Result{Code: roster.Done, ID: 3, Epoch: 9, Token: 4, Since: -5})
	a.remember(wire.CommandID{2}, roster.Result{Code: roster.Refused, Reason: "no"})
	r := codec.NewReader(a.append(nil))
	again := readAnswered(r)
	if err := r.Done(); err != nil || string(again.append(nil)) != string(a.append(nil)) || len(again.results) != 2 {
		t.Fatalf("%+v, %v", again, err)
	}
	ids := map[int]wire.CommandID{1: {9}}
	entry := appendCommands(nil, origin{1, 2}, ids, []roster.Command{{Kind: roster.KindLockTick}, {Kind: roster.KindLockTick}})
	if _, gotIDs, cmds, err := decodeCommands(entry); err != nil || len(cmds) != 2 || gotIDs[1] != ids[1] || len(gotIDs) != 1 {
		t.Fatal(gotIDs, cmds, err)
	}
	if _, _, _, err := decodeCommands([]byte{99}); err == nil {
		t.Fatal("an unknown entry was taken")
	}
}
