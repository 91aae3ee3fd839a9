package jute

// Reply is the header of an answer, and of an event.
type Reply struct {
	Xid  int32
	Zxid int64
	Err  Code
}

// AppendReply encodes a header.
func AppendReply(b []byte, p Reply) []byte {
	return AppendInt(AppendLong(AppendInt(b, p.Xid), p.Zxid), int32(p.Err))
}

// Reply reads a header.
func (r *Reader) Reply() Reply { return Reply{r.Int(), r.Long(), Code(r.Int())} }

// connected is the state that servers tell with every event.
const connected = 3

// AppendEvent encodes an event.
func AppendEvent(b []byte, e Event, path string) []byte {
	b = AppendReply(b, Reply{Xid: EventXid, Zxid: -1})
	return AppendString(AppendInt(AppendInt(b, int32(e)), connected), path)
}

// Event reads what follows the header of an event.
func (r *Reader) Event() (e Event, path string) {
	e = Event(r.Int())
	r.Int()
	return e, r.String()
}

// Stat is what a node is beside its data. Times are unix milliseconds.
type Stat struct {
	Created, Modified         int64 // czxid, mzxid
	CreatedAt, ModifiedAt     int64 // ctime, mtime
	Version, ChildrenVersion  int32 // version, cversion
	Owner                     int64 // ephemeralOwner
	DataLength, ChildrenCount int32
	ChildrenChanged           int64 // pzxid
}

// AppendStat encodes s.
func AppendStat(b []byte, s *Stat) []byte {
	b = AppendLong(AppendLong(AppendLong(AppendLong(b, s.Created), s.Modified), s.CreatedAt), s.ModifiedAt)
	b = AppendInt(AppendInt(AppendInt(b, s.Version), s.ChildrenVersion), 0) // no version of the ACL
	b = AppendInt(AppendInt(AppendLong(b, s.Owner), s.DataLength), s.ChildrenCount)
	return AppendLong(b, s.ChildrenChanged)
}

// Stat reads what AppendStat wrote.
func (r *Reader) Stat() (s Stat) {
	s.Created, s.Modified, s.CreatedAt, s.ModifiedAt = r.Long(), r.Long(), r.Long(), r.Long()
	s.Version, s.ChildrenVersion = r.Int(), r.Int()
	r.Int()
	s.Owner, s.DataLength, s.ChildrenCount, s.ChildrenChanged = r.Long(), r.Int(), r.Int(), r.Long()
	return s
}

// AppendMultiHeader encodes what stands before each part of a multi and of its answer, and with
// done at its end.
func AppendMultiHeader(b []byte, op Op, done bool, code Code) []byte {
	return AppendInt(AppendBool(AppendInt(b, int32(op)), done), int32(code))
}

// MultiHeader reads what AppendMultiHeader wrote.
func (r *Reader) MultiHeader() (op Op, done bool, code Code) {
	return Op(r.Int()), r.Bool(), Code(r.Int())
}
