package jute

import (
	"errors"
	"fmt"
)

// Bounds of what is decoded.
const (
	ChangesMax = 100  // of an OpMulti
	ReadsMax   = 1000 // of an OpMultiRead
	aclMax     = 100  // entries of an access list
)

// ErrTooMany is wrapped by the error of a request with more than ChangesMax or ReadsMax in it.
var ErrTooMany = errors.New("too many in one request")

// Connect is a client's first message, and with the same fields its answer: there LastZxid is
// not told.
type Connect struct {
	Protocol    int32
	LastZxid    int64
	Timeout     int32 // milliseconds
	Session     int64
	Password    []byte
	HasReadOnly bool // the message says whether it may be read-only, as those of 3.4 and later: it is never
}

// DecodeConnect parses a client's first message.
func DecodeConnect(b []byte) (c Connect, err error) {
	r := NewReader(b)
	c.Protocol, c.LastZxid, c.Timeout, c.Session, c.Password = r.Int(), r.Long(), r.Int(), r.Long(), r.Bytes()
	if c.HasReadOnly = r.Left() > 0; c.HasReadOnly {
		r.Bool()
	}
	return c, r.Err()
}

// AppendConnect encodes a client's first message.
func AppendConnect(b []byte, c *Connect) []byte {
	b = AppendLong(AppendInt(b, c.Protocol), c.LastZxid)
	return appendSession(b, c)
}

func appendSession(b []byte, c *Connect) []byte {
	b = AppendBytes(AppendLong(AppendInt(b, c.Timeout), c.Session), c.Password)
	if c.HasReadOnly {
		b = AppendBool(b, false)
	}
	return b
}

// AppendConnected encodes the answer to a client's first message.
func AppendConnected(b []byte, c *Connect) []byte { return appendSession(AppendInt(b, c.Protocol), c) }

// DecodeConnected parses what AppendConnected wrote.
func DecodeConnected(b []byte) (c Connect, err error) {
	r := NewReader(b)
	c.Protocol, c.Timeout, c.Session, c.Password = r.Int(), r.Int(), r.Long(), r.Bytes()
	if c.HasReadOnly = r.Left() > 0; c.HasReadOnly {
		r.Bool()
	}
	return c, r.Err()
}

// ACL is an entry of a node's access list.
type ACL struct {
	Perms      int32
	Scheme, ID string
}

// PermsAll are all permissions.
const PermsAll int32 = 31

// Open is the list of a node that anyone may do anything with.
var Open = []ACL{{PermsAll, "world", "anyone"}}

// AppendACL encodes a list.
func AppendACL(b []byte, list []ACL) []byte {
	b = AppendInt(b, int32(len(list)))
	for _, a := range list {
		b = AppendString(AppendString(AppendInt(b, a.Perms), a.Scheme), a.ID)
	}
	return b
}

func (r *Reader) acl() []ACL {
	n := r.Count(12)
	if n > aclMax {
		r.fail("an access list of %d entries", n)
		return nil
	}
	list := make([]ACL, 0, n)
	for range n {
		list = append(list, ACL{r.Int(), r.String(), r.String()})
	}
	return list
}

// Watches are the paths of an OpSetWatches, by what is watched of them.
type Watches struct{ Data, Exist, Children, Persistent, Recursive []string }

// Header begins a request.
type Header struct {
	Xid int32
	Op  Op
}

// Request is a client's request. Op says which fields it has.
type Request struct {
	Xid int32
	Op  Op

	Path    string
	Data    []byte
	ACL     []ACL
	Flags   int32 // of what is created
	Version int32 // -1: any
	Watch   bool
	Mode    int32 // of a watch

	Scheme  string // OpAuth; its token is in Data
	Zxid    int64  // OpSetWatches: the highest that the client was told
	Watches Watches
	Ops     []Request // of an OpMulti
}

// DecodeHeader parses the beginning of a request.
func DecodeHeader(b []byte) (h Header, err error) {
	r := NewReader(b)
	h.Xid, h.Op = r.Int(), Op(r.Int())
	return h, r.Err()
}

// DecodeRequest parses a request. Where only the header makes sense that is returned, with an
// error. Data aliases b. Of an Op that it does not know it reads the header alone.
func DecodeRequest(b []byte) (Request, error) {
	h, err := DecodeHeader(b)
	q := Request{Xid: h.Xid, Op: h.Op}
	if err != nil {
		return q, err
	}
	r := NewReader(b[8:])
	q.body(r)
	if r.Err() != nil {
		return Request{Xid: q.Xid, Op: q.Op}, fmt.Errorf("request of type %d: %w", q.Op, r.Err())
	}
	return q, nil
}

func (q *Request) body(r *Reader) {
	switch q.Op {
	case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL:
		q.Path, q.Data, q.ACL, q.Flags = r.String(), r.Bytes(), r.acl(), r.Int()
		if q.Op == OpCreateTTL {
			r.Long() // how long it is to live, which nobody serves
		}
	case OpDelete, OpCheck:
		q.Path, q.Version = r.String(), r.Int()
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
		q.Path, q.Watch = r.String(), r.Bool()
	case OpSetData:
		q.Path, q.Data, q.Version = r.String(), r.Bytes(), r.Int()
	case OpGetACL, OpSync:
		q.Path = r.String()
	case OpSetACL:
		q.Path, q.ACL, q.Version = r.String(), r.acl(), r.Int()
	case OpCheckWatches, OpRemoveWatches, OpAddWatch:
		q.Path, q.Mode = r.String(), r.Int()
	case OpAuth:
		r.Int() // always 0
		q.Scheme, q.Data = r.String(), r.Bytes()
	case OpSetWatches, OpSetWatches2:
		q.Zxid = r.Long()
		w := &q.Watches
		w.Data, w.Exist, w.Children = r.Strings(), r.Strings(), r.Strings()
		if q.Op == OpSetWatches2 {
			w.Persistent, w.Recursive = r.Strings(), r.Strings()
		}
	case OpMulti, OpMultiRead:
		q.multi(r)
	}
}

func (q *Request) multi(r *Reader) {
	most := ReadsMax
	if q.Op == OpMulti {
		most = ChangesMax
	}
	for {
		op, done := Op(r.Int()), r.Bool()
		r.Int() // an error: none in a request
		if done || r.Err() != nil {
			return
		}
		one := Request{Op: op}
		switch op {
		case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL, OpDelete, OpCheck, OpSetData, OpGetData, OpGetChildren:
			one.body(r)
		default:
			r.fail("a request of type %d in a multi", op)
		}
		if q.Ops = append(q.Ops, one); len(q.Ops) > most && r.err == nil {
			r.fail("%w: more than %d", ErrTooMany, most)
		}
	}
}

// AppendRequest encodes a request.
func AppendRequest(b []byte, q *Request) []byte {
	return q.appendBody(AppendInt(AppendInt(b, q.Xid), int32(q.Op)))
}

func (q *Request) appendBody(b []byte) []byte {
	switch q.Op {
	case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL:
		b = AppendInt(AppendACL(AppendBytes(AppendString(b, q.Path), q.Data), q.ACL), q.Flags)
		if q.Op == OpCreateTTL {
			b = AppendLong(b, 0)
		}
	case OpDelete, OpCheck:
		b = AppendInt(AppendString(b, q.Path), q.Version)
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
		b = AppendBool(AppendString(b, q.Path), q.Watch)
	case OpSetData:
		b = AppendInt(AppendBytes(AppendString(b, q.Path), q.Data), q.Version)
	case OpGetACL, OpSync:
		b = AppendString(b, q.Path)
	case OpSetACL:
		b = AppendInt(AppendACL(AppendString(b, q.Path), q.ACL), q.Version)
	case OpCheckWatches, OpRemoveWatches, OpAddWatch:
		b = AppendInt(AppendString(b, q.Path), q.Mode)
	case OpAuth:
		b = AppendBytes(AppendString(AppendInt(b, 0), q.Scheme), q.Data)
	case OpSetWatches, OpSetWatches2:
		w := &q.Watches
		b = AppendStrings(AppendStrings(AppendStrings(AppendLong(b, q.Zxid), w.Data), w.Exist), w.Children)
		if q.Op == OpSetWatches2 {
			b = AppendStrings(AppendStrings(b, w.Persistent), w.Recursive)
		}
	case OpMulti, OpMultiRead:
		for i := range q.Ops {
			b = q.Ops[i].appendBody(AppendMultiHeader(b, q.Ops[i].Op, false, -1))
		}
		b = AppendMultiHeader(b, -1, true, -1)
	}
	return b
}
