package tree

import (
	"encoding/binary"
	"fmt"
	"slices"

	"viewring/internal/codec"
	"viewring/internal/invariant"
	"viewring/internal/wire"
	"viewring/server/replica"
)

// Contents of files (FILES.md).

// contentFormat is the first byte of a content's value.
const contentFormat = 1

// Bounds of a content.
const (
	ContentAhead     = 1024    // chunks that one begin or touch reserves beyond those before
	ContentChunksMax = 4 << 20 // chunks
)

// content is a content while a step is evaluated.
type content struct {
	*wire.TreeContentRecord
	gone bool
}

func (c *content) encode() []byte {
	return wire.AppendTreeContent([]byte{contentFormat}, c.TreeContentRecord)
}

// decodeContent reads what encode wrote, as decodeEntry does.
func decodeContent(b []byte) (*wire.TreeContentRecord, error) {
	r := codec.NewReader(b)
	if f := r.Byte(); f != contentFormat {
		return nil, fmt.Errorf("%w: content format %d, this build reads %d", replica.ErrCorrupt, f, contentFormat)
	}
	c := wire.ReadTreeContent(r)
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("%w: content: %w", replica.ErrCorrupt, err)
	}
	return c, nil
}

// fixedVersion is a version in keys.
func fixedVersion(v wire.TreeVersion) string {
	return string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, v.Term), v.Seq))
}

func contentKey(home uint16, v wire.TreeVersion) replica.Key {
	return replica.MakeKey(home, replica.SpaceFile, fixedVersion(v))
}

// todoKey is the key of a content's to-do. No session has the number that it begins with.
func todoKey(home uint16, v wire.TreeVersion) replica.Key {
	return replica.MakeKey(home, replica.SpaceOwned, string(make([]byte, ownerBytes))+fixedVersion(v))
}

// ParseTodo reads the key of a content's to-do; false where it is none.
func ParseTodo(k replica.Key) (c wire.Content, ok bool) {
	b := []byte(k.Name())
	if len(b) != 3*8 || binary.BigEndian.Uint64(b) != 0 {
		return c, false
	}
	c = wire.Content{Home: k.Slot(), Version: wire.TreeVersion{Term: binary.BigEndian.Uint64(b[8:]), Seq: binary.BigEndian.Uint64(b[16:])}}
	return c, k == todoKey(c.Home, c.Version)
}

// appendContent appends the keys of a content; none for the zero version.
func appendContent(keys []replica.Key, home uint16, v wire.TreeVersion) []replica.Key {
	if v == (wire.TreeVersion{}) {
		return keys
	}
	return appendNew(appendNew(keys, contentKey(home, v)), todoKey(home, v))
}

// appendNamed appends the keys of the contents that a change names, and of their owners.
func (s step) appendNamed(keys []replica.Key) []replica.Key {
	home := slotOf(s.q.Dir)
	for i := range s.q.Items {
		it := &s.q.Items[i]
		keys = appendContent(keys, home, it.Content)
		for _, v := range it.Owners {
			keys = appendContent(keys, home, v)
		}
	}
	return keys
}

// fileOf gives an entry what the item says of a file. The content that it names has one ref
// more, and is whole from then on.
func (st *slotState) fileOf(e *entry, it *wire.TreeItem) wire.TreeCode {
	e.file, e.content, e.size, e.attributes = it.File, it.Content, it.Size, it.Attributes
	if it.Content == (wire.TreeVersion{}) {
		if it.File {
			e.size = int64(len(it.Value))
		}
		return wire.TreeOK
	}
	home := slotOf(st.q.Dir)
	key := contentKey(home, it.Content)
	c := st.contents[key]
	if c == nil || c.State == wire.ContentEnded {
		return wire.TreeNoContent
	}
	if c.State == wire.ContentWriting {
		for _, v := range it.Owners {
			o := st.contents[contentKey(home, v)]
			if o == nil || o.State != wire.ContentWhole {
				return wire.TreeNoContent
			}
			o.Refs++
			st.touch(contentKey(home, v))
		}
		c.State, c.Owners = wire.ContentWhole, it.Owners
	}
	c.Refs++
	st.touch(key)
	return wire.TreeOK
}

// letGo takes a ref from a content that an entry named. It is there, unless an operator
// has given up what was lost.
func (st *slotState) letGo(v wire.TreeVersion) {
	if v == (wire.TreeVersion{}) {
		return
	}
	key := contentKey(slotOf(st.q.Dir), v)
	if c := st.contents[key]; c != nil {
		invariant.Check(c.Refs > 0, "F1", "content %v has no refs, and an entry named it", v)
		c.Refs--
		st.touch(key)
	}
}

// concludeContents makes idle, and the to-do, what they have to be with the refs that there are
// in the end. It may be called once.
func (st *slotState) concludeContents() {
	for _, k := range slices.Clone(st.dirty) {
		c := st.contents[k]
		if k.Space() != replica.SpaceFile || c == nil {
			continue
		}
		v := versionOf(k)
		todo := todoKey(k.Slot(), v)
		switch {
		case c.State == wire.ContentWhole && c.Refs > 0:
			c.Idle, st.owned[todo] = wire.TreeVersion{}, false
			st.touch(todo)
		case c.State == wire.ContentWhole && c.Idle == (wire.TreeVersion{}):
			c.Idle, st.owned[todo] = st.version, true
			st.touch(todo)
		}
	}
}

// versionOf is the version in a content's key.
func versionOf(k replica.Key) wire.TreeVersion {
	b := []byte(k.Name())
	return wire.TreeVersion{Term: binary.BigEndian.Uint64(b), Seq: binary.BigEndian.Uint64(b[8:])}
}
