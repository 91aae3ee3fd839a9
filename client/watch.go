package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"viewring/internal/route"
	"viewring/internal/wire"
)

// Change is what became of a key.
type Change uint8

// The changes.
const (
	// Set: the key was created, or got another value or another time to live.
	Set Change = iota + 1
	// Deleted: a client deleted the key.
	Deleted
	// Expired: the key's time to live was over.
	Expired
	// Anew: what was changed between the last event and this one is not known any more,
	// because the watch was interrupted for too long. The event has no key. Whoever follows
	// the state of what is watched reads it again now; all that changes from now on is told.
	// Where many keys are watched it is about some of them, those of one partition, and
	// several may come together: one look after the last of them does.
	Anew
)

// String returns the change's name in lower case.
func (c Change) String() string {
	if c == 0 || c > Anew {
		return "change " + strconv.Itoa(int(c))
	}
	return [...]string{"set", "deleted", "expired", "anew"}[c-1]
}

// Event is a change of a key that is watched.
type Event struct {
	Change  Change
	Key     string
	Version Version // of a Set that which Get returns; else when the change was made
	// Value is what was set, where WatchOptions.Values asks for it. It is nil where it is not
	// there any more because the key was written again before this could be told, of which an
	// event follows; or where the server's copy of it is damaged: Get finds another.
	Value   []byte
	Expires time.Time // with Value: when the key expires; zero: never
}

// Token says how far a watch has come: another Watch begins there. It means something in
// its own cluster and for the same keys only. A key's Version, as Get and Set return it, is
// a Token for that key as well: TokenOf.
type Token string

// TokenOf is the Token for watching a key from after a version on. Servers know what came after for
// a while only, whether or not that concerned the key: to read what is and then follow it, begin
// the Watch first, and read then.
func TokenOf(v Version) Token { return Token(v.String()) }

// WatchOptions say what to watch.
type WatchOptions struct {
	// Prefix watches all keys that begin with the key that is named.
	Prefix bool
	// Values has events carry the values that were set.
	Values bool
	// From goes on where another watch of the same keys was. "": from now on.
	From Token
}

// Watch is told of the changes of a key, or of many. One goroutine uses it, but for Close.
type Watch struct{ changes *route.Changes }

// Watch has the servers tell of each change of a key from now on, or from a Token on, and
// returns once they do: who reads after that misses nothing. Changes of one key come in their
// order, each once, none is left out, and none is of a write that is lost later; between
// keys there is no order. That holds over failures and moves, for which the Watch
// finds the responsible servers again by itself, as long as those remember what happened since:
// the last hundreds to thousands of changes of a partition. Anew tells where they did not.
//
// What a Watch is told and nobody takes is bounded: then its servers forget it, and it goes on
// when it is read.
//
// ctx bounds the beginning alone, for which the servers of all keys that are watched must
// serve. Close the Watch after use.
func (c *Client) Watch(ctx context.Context, key string, o WatchOptions) (*Watch, error) {
	told, err := c.router.WatchKeys(ctx, fmt.Sprintf("watch %.200q", key), key, o.Prefix, o.Values, string(o.From))
	if err != nil {
		return nil, err
	}
	return &Watch{told}, nil
}

// Close ends the watch.
func (w *Watch) Close() error {
	w.changes.Close()
	return nil
}

// Next returns the next event, and waits for it. It fails when ctx ends, with ctx's error,
// and when the Watch or its Client is closed, with ErrClosed.
func (w *Watch) Next(ctx context.Context) (Event, error) {
	told, change, err := w.changes.Next(ctx)
	if err != nil {
		return Event{}, err
	}
	e := Event{Change: Anew, Version: Version{told.Term, told.Seq}}
	if change == nil {
		return e, nil
	}
	e.Change, e.Key = changes[change.Change], string(change.Name)
	if change.HasValue {
		e.Value = change.Value
		if e.Value == nil {
			e.Value = []byte{}
		}
		if change.Expiry != 0 {
			e.Expires = time.UnixMilli(change.Expiry)
		}
	}
	return e, nil
}

var changes = [...]Change{wire.TellSet: Set, wire.TellDeleted: Deleted, wire.TellExpired: Expired}

// Events yields the events as they come, until ctx ends or the Watch is closed. Its last
// error is Next's, unless ctx has ended.
func (w *Watch) Events(ctx context.Context) iter.Seq2[Event, error] {
	return route.Events(ctx, w.Next)
}

// Token says up to where the events were taken. Where one write changed several keys it is
// the place before that write until its last event was taken. It goes forward also while
// nothing that is watched changes: one that is kept for long is best taken again now and then.
func (w *Watch) Token() Token {
	return Token(w.changes.Token())
}

// ParseVersion reads what Version.String wrote.
func ParseVersion(s string) (Version, error) {
	p, err := route.ParsePosition(s)
	return Version(p), err
}

// Await waits until a key has another version than one that was read, and returns what it
// has then, as Get does: ErrNotFound where it was deleted. The zero Version stands for an
// absent key. The waiting is done at the servers.
func (c *Client) Await(ctx context.Context, key string, after Version) (Value, error) {
	w, err := c.Watch(ctx, key, WatchOptions{})
	if err != nil {
		return Value{}, err
	}
	defer w.Close()
	for {
		value, err := c.Get(ctx, key) // what comes after this is told
		if err == nil && value.Version != after || errors.Is(err, ErrNotFound) && after != (Version{}) {
			return value, err
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return Value{}, err
		}
		if _, err := w.Next(ctx); err != nil {
			return Value{}, route.Failed(ctx, fmt.Sprintf("await %.200q", key), err)
		}
	}
}
