package wire

import "testing"

// MOVED has addresses as Redis writes them, IPv6 without brackets, and they are read with or without.
func TestMovedAddresses(t *testing.T) {
	for addr, want := range map[string]string{
		"10.0.0.1:7000": "MOVED 7 10.0.0.1:7000", "db.example:7000": "MOVED 7 db.example:7000",
		"[::1]:7000": "MOVED 7 ::1:7000", "[fe80::1%eth0]:7000": "MOVED 7 fe80::1%eth0:7000",
	} {
		text := MovedText(7, addr)
		if slot, got, ok := ParseMoved(text); text != want || slot != 7 || got != addr || !ok {
			t.Errorf("%s: %q, read as %d %q, %v", addr, text, slot, got, ok)
		}
	}
	if _, got, ok := ParseMoved("MOVED 7 [::1]:7000"); got != "[::1]:7000" || !ok {
		t.Errorf("with brackets: %q, %v", got, ok)
	}
}
