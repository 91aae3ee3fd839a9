package route

import "testing"

func TestMarks(t *testing.T) {
	var m marks
	for want := uint64(1); want <= 4; want++ {
		clock := []int64{0, 70, 50, 80, 10}[want]
		if n, mark, born := m.begin(clock); n != want || mark != 0 || born < 70 {
			t.Fatalf("begin = %d, %d, %d; want %d, 0 and nothing born before 70", n, mark, born, want)
		}
	}
	steps := []struct{ end, low uint64 }{{2, 0}, {4, 0}, {1, 2}, {3, 4}}
	for _, s := range steps {
		m.end(s.end)
		if m.low != s.low {
			t.Errorf("after end(%d) low = %d, want %d", s.end, m.low, s.low)
		}
	}
	if len(m.over) != 0 {
		t.Errorf("%d numbers are remembered for nothing", len(m.over))
	}
}
