package ring

import "testing"

func TestSameServers(t *testing.T) {
	for _, tt := range []struct {
		a, b []ServerID
		same bool
	}{
		{nil, nil, true}, {[]ServerID{1, 2}, []ServerID{2, 1}, true},
		{[]ServerID{1}, []ServerID{1, 2}, false}, {[]ServerID{1, 2}, []ServerID{1}, false}, {[]ServerID{1, 2}, []ServerID{1, 3}, false},
	} {
		if SameServers(tt.a, tt.b) != tt.same {
			t.Errorf("%v and %v", tt.a, tt.b)
		}
	}
}
