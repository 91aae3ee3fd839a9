package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"viewring/client"
	"viewring/internal/codec"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// AttributesMax bounds what the Attributes of a file take together, in bytes: the texts, and a few
// bytes for each.
const AttributesMax = wire.TreeAttributesMax

// Attributes is what is kept of a file beside its bytes, for whoever wrote it: the store reads nothing of it.
// It is in the file's entry, changes with it at one instant, and is told by lists.
type Attributes struct {
	ContentType string            // as in HTTP (RFC 9110, 8.3)
	MD5         []byte            // of all bytes: 16, or none where it is not known
	SHA256      []byte            // 32, or none
	SourceTime  time.Time         // when what the file was copied from was changed last; zero: not known
	Meta        map[string]string // what else a user wants to have kept
}

// IsZero reports whether there are none.
func (a Attributes) IsZero() bool {
	return a.ContentType == "" && len(a.MD5) == 0 && len(a.SHA256) == 0 && a.SourceTime.IsZero() && len(a.Meta) == 0
}

// edited is what is left of them once some bytes of the file were changed.
func (a Attributes) edited() Attributes {
	return Attributes{ContentType: a.ContentType, Meta: a.Meta}
}

// attributesFormat is the first byte of attributes that are not zero.
const attributesFormat = 1

// encode returns the bytes that an entry keeps; none of the zero Attributes.
func (a *Attributes) encode() ([]byte, error) {
	if a.IsZero() {
		return nil, nil
	}
	for name, sum := range map[string]struct{ has, want int }{"MD5": {len(a.MD5), 16}, "SHA-256": {len(a.SHA256), 32}} {
		if sum.has != 0 && sum.has != sum.want {
			return nil, fmt.Errorf("%w: an %s has %d bytes, not %d", client.ErrRefused, name, sum.want, sum.has)
		}
	}
	b := codec.AppendString([]byte{attributesFormat}, a.ContentType)
	b = codec.AppendBytes(codec.AppendBytes(b, a.MD5), a.SHA256)
	if b = codec.AppendBool(b, !a.SourceTime.IsZero()); !a.SourceTime.IsZero() {
		b = binary.AppendVarint(b, a.SourceTime.Unix())
		b = binary.AppendUvarint(b, uint64(a.SourceTime.Nanosecond()))
	}
	b = binary.AppendUvarint(b, uint64(len(a.Meta)))
	for _, k := range slices.Sorted(maps.Keys(a.Meta)) {
		b = codec.AppendString(codec.AppendString(b, k), a.Meta[k])
	}
	if len(b) > AttributesMax {
		return nil, fmt.Errorf("%w: the attributes of a file take %d bytes, at most %d are allowed", client.ErrTooLarge, len(b), AttributesMax)
	}
	return b, nil
}

// decodeAttributes reads what encode returned.
func decodeAttributes(b []byte) (a Attributes, err error) {
	if len(b) == 0 {
		return a, nil
	}
	r := codec.NewReader(b)
	if format := r.Byte(); format != attributesFormat {
		return a, fmt.Errorf("%w: attributes of format %d, this build knows %d", ErrUnreadable, format, attributesFormat)
	}
	a.ContentType = r.String()
	a.MD5, a.SHA256 = slices.Clone(r.Bytes()), slices.Clone(r.Bytes())
	if r.Bool() {
		a.SourceTime = time.Unix(r.Varint(), int64(r.Uvarint()))
	}
	if n := r.Count(2); n > 0 {
		a.Meta = make(map[string]string, n)
		for range n {
			k := r.String()
			a.Meta[k] = r.String()
		}
	}
	if err := r.Done(); err != nil {
		return Attributes{}, fmt.Errorf("%w: its attributes are damaged: %w", ErrUnreadable, err)
	}
	return a, nil
}

// UnmarshalBinary reads attributes as a file's entry keeps them. It is for who has read entries by other ways, such as backups.
func (a *Attributes) UnmarshalBinary(b []byte) (err error) {
	*a, err = decodeAttributes(b)
	return err
}

// MarshalBinary returns the attributes as a file's entry keeps them.
func (a Attributes) MarshalBinary() ([]byte, error) { return a.encode() }

// sealer says what the attributes of a file are once all its bytes are known; nil: none.
type sealer func(Info) (Attributes, error)

// seal makes the attributes of a file that is about to be put in place.
func (s sealer) seal(i *Info) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	a, err := s(*i)
	if err != nil {
		return nil, err
	}
	i.Attributes = a
	return a.encode()
}

// edited is the sealer of an edit of a file.
func (e *entry) edited() sealer {
	return func(Info) (Attributes, error) { return e.Attributes.edited(), nil }
}

// SetAttributes gives a file other attributes, and leaves its bytes. With a version, only if the file was
// last changed at that Info.Modified; else it fails with ErrChanged.
func (f *FS) SetAttributes(ctx context.Context, path string, a Attributes, ifModified client.Version) (Info, error) {
	o := f.op(ctx, "set attributes of", path)
	raw, err := a.encode()
	if err != nil {
		return Info{}, o.failed(err)
	}
	for range attemptsMax {
		e, err := o.file(path)
		if err == nil && ifModified != (client.Version{}) && e.Modified != ifModified {
			err = ErrChanged
		}
		if err != nil {
			return Info{}, o.failed(err)
		}
		body := e.body()
		body.Attributes = raw
		v, err := o.commit(path, body, when{modified: e.node.Modified}, nil)
		if ifModified == (client.Version{}) && (errors.Is(err, tree.ErrBadVersion) || errors.Is(err, ErrEnded)) {
			continue
		}
		info := e.Info
		info.Attributes, info.Modified = a, client.Version(v)
		return info, o.edited(err)
	}
	return Info{}, o.failed(ErrContended)
}
