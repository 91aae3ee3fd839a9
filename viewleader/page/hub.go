package page

import (
	"bytes"
	"context"
	"sync"
	"time"

	"viewring/client/meter"
)

// told is what those who look are told: each part as JSON, and how often it has changed.
type told struct {
	state, placing, events     []byte
	reading                    uint64 // counts them; 0: there was none yet
	placingChange, eventChange uint64
	last                       reading
}

// hub asks the cluster while anybody looks, and tells them all.
type hub struct {
	opts   *Options
	shifts shifts        // of the goroutine that asks
	wake   chan struct{} // of capacity 1: the first who looks has come

	mu       sync.Mutex
	watchers map[chan struct{}]bool // of capacity 1 each, told that there is something new
	told     told
}

func newHub(opts *Options) *hub {
	return &hub{opts: opts, wake: make(chan struct{}, 1), watchers: make(map[chan struct{}]bool)}
}

// watch returns a channel that gets something when there is something new, and how to end
// that; nil: too many watch.
func (h *hub) watch() (news chan struct{}, leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) >= watchersMax {
		return nil, nil
	}
	news = make(chan struct{}, 1)
	h.watchers[news] = true
	if h.told.reading > 0 && h.told.last.isFresh(h.opts.Every) {
		news <- struct{}{}
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return news, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, news)
	}
}

// now returns what is known.
func (h *hub) now() told {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told
}

// fresh waits for a reading that is not old.
func (h *hub) fresh(ctx context.Context) (told, error) {
	news, leave := h.watch()
	if news == nil {
		return told{}, errTooMany
	}
	defer leave()
	select {
	case <-news:
		return h.now(), nil
	case <-ctx.Done():
		return told{}, ctx.Err()
	}
}

// watched reports whether anybody looks.
func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.watchers) > 0
}

// run asks the cluster while anybody looks.
func (h *hub) run(ctx context.Context) {
	for {
		select {
		case <-h.wake:
		case <-ctx.Done():
			return
		}
		h.ask(ctx)
	}
}

// ask asks again and again until nobody looks any more.
func (h *hub) ask(ctx context.Context) {
	r := &reader{opts: h.opts, shifts: &h.shifts, meters: meter.New(h.opts.Client.Dialer)}
	defer r.close()
	tick := time.NewTicker(h.opts.Every)
	defer tick.Stop()
	for h.watched() {
		h.tell(r.read(ctx))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// tell has all who watch find something new.
func (h *hub) tell(r reading) {
	s := encode(stateOf(&r, h.opts.Describe))
	var places, happened []byte
	if r.status != nil {
		places, happened = encode(placingOf(r.status)), encode(eventsOf(r.events))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := &h.told
	t.state, t.last = s, r
	t.reading++
	if !bytes.Equal(places, t.placing) {
		t.placing = places
		t.placingChange++
	}
	if !bytes.Equal(happened, t.events) {
		t.events = happened
		t.eventChange++
	}
	for news := range h.watchers {
		select {
		case news <- struct{}{}:
		default: // it has not read the one before, and will find this one
		}
	}
}
