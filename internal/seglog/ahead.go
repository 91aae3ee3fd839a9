package seglog

// aheadSegments are read into the kernel's cache before their turn in the replay comes.
const aheadSegments = 2

// ahead lets the kernel read segments while those before, and the checkpoint, are worked on.
// It needs no memory of ours. What it does is a hint: errors are met again by the replay.
type ahead struct {
	s    *Store
	want chan *segment
	done chan struct{}
	last uint32 // that was asked for
}

func newAhead(s *Store) *ahead {
	a := &ahead{s: s, want: make(chan *segment, 2*aheadSegments), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for g := range a.want {
			if f, err := s.files.get(g.number); err == nil {
				f.Warm()
				s.files.put(f)
			}
			g.release() // it may have been freed meanwhile
		}
	}()
	return a
}

// from lets the segments from a number on be read, as many as are worth it. It does not wait.
func (a *ahead) from(n uint32) {
	numbers := a.s.numbers()
	for i, left := 0, aheadSegments; i < len(numbers) && left > 0; i++ {
		if numbers[i] < n {
			continue
		}
		left--
		if numbers[i] <= a.last {
			continue
		}
		g := a.s.acquire(numbers[i])
		select {
		case a.want <- g:
			a.last = numbers[i]
		default: // it has enough to do
			g.release()
			return
		}
	}
}

// close waits for what is under way.
func (a *ahead) close() {
	close(a.want)
	<-a.done
}
