package dav

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/webdav"

	"viewring/client"
	"viewring/client/file"
	"viewring/internal/tree"
)

// tablePath is the file that has all locks. It is there while there are some.
const tablePath = "/.webdav-locks"

// Reserved reports whether a path is the share's own: it is nobody else's to change.
func Reserved(path string) bool { return path == tablePath || under(path, tablePath) }

// Bounds of the table.
const (
	locksMax    = 1000
	tableMax    = 256 << 10 // bytes of all locks, as they are kept
	ownerMax    = 1 << 10   // bytes of XML that says who has a lock
	attemptsMax = 50        // to change it
)

// lock is one that a client has: of a file, or of a directory with all that is below it.
type lock struct {
	Token     string        `json:"token"`
	Root      string        `json:"root"`
	ZeroDepth bool          `json:"zero_depth,omitempty"` // not of what is below it
	Owner     string        `json:"owner,omitempty"`
	Lives     time.Duration `json:"lives"`
	Until     time.Time     `json:"until"` // by the clock of the front that made it, as its end is by the clock of the one that looks
}

// covers reports whether a lock is one of what is at a path.
func (l *lock) covers(path string) bool {
	return l.Root == path || !l.ZeroDepth && under(path, l.Root)
}

// details are what webdav knows of it.
func (l *lock) details() webdav.LockDetails {
	return webdav.LockDetails{Root: l.Root, Duration: l.Lives, OwnerXML: l.Owner, ZeroDepth: l.ZeroDepth}
}

// table is all locks, as they were found.
type table struct {
	locks    []lock
	modified client.Version // zero: there is no file
}

func (t *table) find(token string) *lock {
	for i := range t.locks {
		if t.locks[i].Token == token {
			return &t.locks[i]
		}
	}
	return nil
}

// encode is what is kept of the locks.
func (t *table) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // owners are XML: it would grow sixfold
	err := e.Encode(t.locks)
	return b.Bytes(), err
}

// add adds a lock, if there is room for it.
func (t *table) add(l lock) error {
	if len(t.locks) >= locksMax {
		return fmt.Errorf("%w: there are %d locks", ErrTooMany, len(t.locks))
	}
	grown := &table{locks: append(slices.Clip(t.locks), l)}
	b, err := grown.encode()
	if err != nil {
		return err
	}
	if len(b) > tableMax {
		return fmt.Errorf("%w: the locks would take more than %d bytes", ErrTooMany, tableMax)
	}
	t.locks = grown.locks
	return nil
}

// lastTable is the table as it was last read. It is shared: nobody changes its locks.
type lastTable struct {
	sync.Mutex // held while it is read: one reads it, and not each request
	table
}

// loadTable finds the locks that live.
func (s *Share) loadTable(ctx context.Context, now time.Time) (*table, error) {
	i, err := s.Files.Stat(ctx, tablePath)
	if errors.Is(err, fs.ErrNotExist) {
		return &table{}, nil
	}
	if err != nil {
		return nil, err
	}
	s.last.Lock()
	defer s.last.Unlock()
	if s.last.modified != i.Modified {
		var b bytes.Buffer
		i, err := s.Files.Get(ctx, tablePath, &b)
		if errors.Is(err, fs.ErrNotExist) {
			return &table{}, nil
		}
		if err != nil {
			return nil, err
		}
		read := table{modified: i.Modified}
		if err := json.Unmarshal(b.Bytes(), &read.locks); err != nil {
			return nil, fmt.Errorf("%s: %w", tablePath, err)
		}
		s.last.table = read
	}
	t := &table{modified: s.last.modified}
	for _, l := range s.last.locks {
		if l.Until.After(now) {
			t.locks = append(t.locks, l)
		}
	}
	return t, nil
}

// storeTable replaces the locks that were found; file.ErrChanged: others came between.
func (s *Share) storeTable(ctx context.Context, t *table) error {
	if len(t.locks) == 0 {
		if t.modified == (client.Version{}) {
			return nil
		}
		err := s.Files.RemoveIf(ctx, tablePath, t.modified)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	b, err := t.encode()
	if err != nil {
		return err
	}
	_, err = s.Files.Put(ctx, tablePath, bytes.NewReader(b), file.PutOptions{IfAbsent: t.modified == client.Version{}, IfModified: t.modified})
	if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		err = file.ErrChanged
	}
	return err
}

// changeTable changes the locks at one instant.
func (s *Share) changeTable(ctx context.Context, now time.Time, change func(t *table) error) error {
	for range attemptsMax {
		t, err := s.loadTable(ctx, now)
		if err != nil {
			return err
		}
		if err := change(t); err != nil {
			return err
		}
		if err := s.storeTable(ctx, t); !errors.Is(err, file.ErrChanged) {
			return err
		}
	}
	return file.ErrContended
}

// lockSystem is the locks as webdav.Handler sees them. All of its errors but webdav's are kept: that tells
// them by no status of theirs.
type lockSystem play

func (s *lockSystem) keep(err error) error {
	if err != nil && s.err == nil {
		s.err = err
	}
	return err
}

// Create is that of webdav.LockSystem. Of any method but LOCK it only asks whether somebody else has a lock: that
// is how webdav.Handler looks when a request names none.
func (s *lockSystem) Create(now time.Time, d webdav.LockDetails) (string, error) {
	d.Root = clean(d.Root)
	if s.r.Method != "LOCK" {
		t, err := s.loadTable(s.ctx, now)
		if err == nil {
			err = s.free(t, d.Root)
		}
		return "", s.keep(err)
	}
	if len(d.OwnerXML) > ownerMax {
		return "", s.keep(fmt.Errorf("%w: the owner of a lock has up to %d bytes", ErrTooMany, ownerMax))
	}
	l := lock{Token: "urn:viewring:" + rand.Text(), Root: d.Root, ZeroDepth: d.ZeroDepth, Owner: d.OwnerXML, Lives: d.Duration, Until: now.Add(d.Duration)}
	err := s.changeTable(s.ctx, now, func(t *table) error {
		if slices.ContainsFunc(t.locks, func(o lock) bool { return o.covers(d.Root) || !d.ZeroDepth && under(o.Root, d.Root) }) {
			return ErrLocked
		}
		return t.add(l)
	})
	return l.Token, s.keep(err)
}

// Free returns ErrLocked where somebody else has locked what a request changes at its URL. It is asked once more of a
// change that took a while, just before that is done.
func (s *Share) Free(r *http.Request) error {
	q := &play{Share: s, ctx: r.Context(), r: r}
	t, err := s.loadTable(q.ctx, time.Now())
	if err != nil {
		return err
	}
	return (*lockSystem)(q).free(t, clean(r.URL.Path))
}

// free returns ErrLocked where the request changes what somebody has locked, and does not have that lock.
func (s *lockSystem) free(t *table, path string) error {
	deep := s.r.Method == "DELETE" || s.r.Method == "MOVE" || s.r.Method == "COPY"
	parent, _ := tree.Split(path)
	for i := range t.locks {
		l := &t.locks[i]
		hit := l.covers(path) || deep && under(l.Root, path)
		if !hit && l.Root == parent && s.r.Method != "PROPPATCH" { // a locked directory has the names that it has
			known, err := s.isThere(path)
			if err != nil {
				return err
			}
			hit = !known || s.r.Method == "DELETE" || s.r.Method == "MOVE"
		}
		if hit && !strings.Contains(s.r.Header.Get("If"), "<"+l.Token+">") {
			return fmt.Errorf("%w: %s", ErrLocked, l.Root)
		}
	}
	return nil
}

func (s *lockSystem) isThere(path string) (bool, error) {
	_, err := s.Files.Stat(s.ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Confirm is that of webdav.LockSystem: it decides one list of an If header (RFC 4918, section 10.4), and whether the
// request has all locks that it needs. name0 is what the list is about, by its tag: that may be anything, and is not what
// the request changes.
func (s *lockSystem) Confirm(now time.Time, name0, name1 string, conditions ...webdav.Condition) (func(), error) {
	t, err := s.loadTable(s.ctx, now)
	if err != nil {
		return nil, s.keep(err)
	}
	about := name0
	if about == "" {
		about = name1
	}
	for _, c := range conditions {
		holds, err := s.holds(t, clean(about), c)
		if err != nil {
			return nil, s.keep(err)
		}
		if !holds {
			return nil, webdav.ErrConfirmationFailed
		}
	}
	if s.r.Method != "COPY" { // which leaves its source as it is
		err = s.free(t, clean(s.r.URL.Path))
	}
	if err == nil && name1 != "" {
		err = s.free(t, clean(name1))
	}
	if err != nil {
		return nil, s.keep(err)
	}
	return func() {}, nil
}

func (s *lockSystem) holds(t *table, path string, c webdav.Condition) (bool, error) {
	if c.Token != "" {
		l := t.find(c.Token)
		return (l != nil && l.covers(path)) != c.Not, nil
	}
	i, err := s.Files.Stat(s.ctx, path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return (err == nil && !i.Dir && s.ETag(i) == c.ETag) != c.Not, nil
}

// Refresh is that of webdav.LockSystem.
func (s *lockSystem) Refresh(now time.Time, token string, duration time.Duration) (d webdav.LockDetails, err error) {
	err = s.changeTable(s.ctx, now, func(t *table) error {
		l := t.find(token)
		if l == nil || !l.covers(clean(s.r.URL.Path)) {
			return webdav.ErrNoSuchLock
		}
		l.Lives, l.Until = duration, now.Add(duration)
		d = l.details()
		return nil
	})
	if err == webdav.ErrNoSuchLock {
		return d, err
	}
	return d, s.keep(err)
}

// Unlock is that of webdav.LockSystem.
func (s *lockSystem) Unlock(now time.Time, token string) error {
	if token == "" {
		return nil // of Create, which made none
	}
	ctx := s.ctx
	if s.r.Method == "LOCK" { // it is taken back
		ctx = context.WithoutCancel(ctx)
	}
	err := s.changeTable(ctx, now, func(t *table) error {
		l := t.find(token)
		if l == nil || !l.covers(clean(s.r.URL.Path)) {
			return webdav.ErrNoSuchLock
		}
		t.locks = slices.DeleteFunc(t.locks, func(l lock) bool { return l.Token == token })
		return nil
	})
	if err == webdav.ErrNoSuchLock {
		return err
	}
	return s.keep(err)
}
