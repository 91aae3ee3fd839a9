package wire

import (
	"encoding/binary"
	"fmt"
	"time"

	"viewring/internal/codec"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

// The commands by which a process tells about itself: no argument → About. Each view leader answers, whether or
// not it is the head. Earlier builds know neither.
const (
	CmdAbout   = "VR.ABOUT" // of a server
	CmdVLAbout = "VL.ABOUT" // of a view leader
)

// aboutFormat is the version of About.
const aboutFormat = 1

// About is what a process tells to whoever looks for what is wrong with a cluster.
type About struct {
	Version         string
	At              time.Time // by its clock, when it answered; to microseconds
	Files, FilesMax uint64    // file descriptors: in use, about; that the system lets it have; 0: not known
	// The newest synced write of its log that took very long: how long, and when, zero: there was none.
	SlowSync   time.Duration
	SlowSyncAt time.Time
	Unlinked   []vocab.UnlinkedPeer // servers that are up, and that it can't connect to
}

// micros are a time's microseconds; 0 is the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n)
}

// AppendAbout encodes a.
func AppendAbout(b []byte, a *About) []byte {
	b = codec.AppendString(append(b, aboutFormat), a.Version)
	b = binary.AppendVarint(b, micros(a.At))
	b = binary.AppendUvarint(binary.AppendUvarint(b, a.Files), a.FilesMax)
	b = binary.AppendVarint(binary.AppendVarint(b, int64(a.SlowSync)), micros(a.SlowSyncAt))
	b = binary.AppendUvarint(b, uint64(len(a.Unlinked)))
	for _, u := range a.Unlinked {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(u.ID)), u.Why)
		b = codec.AppendString(binary.AppendVarint(b, micros(u.Since)), u.Text)
	}
	return b
}

// unlinkedBytesMin is the least that an UnlinkedPeer takes.
const unlinkedBytesMin = 4

// DecodeAbout parses what AppendAbout wrote.
func DecodeAbout(b []byte) (About, error) {
	r := codec.NewReader(b)
	if err := expectFormat(r, "about", aboutFormat); err != nil {
		return About{}, err
	}
	a := About{Version: r.String(), At: fromMicros(r.Varint()), Files: r.Uvarint(), FilesMax: r.Uvarint(),
		SlowSync: time.Duration(r.Varint()), SlowSyncAt: fromMicros(r.Varint())}
	for range r.Count(unlinkedBytesMin) {
		a.Unlinked = append(a.Unlinked, vocab.UnlinkedPeer{ID: ring.ServerID(r.Uvarint()), Why: r.Uvarint(), Since: fromMicros(r.Varint()), Text: r.String()})
	}
	if err := r.Done(); err != nil {
		return About{}, fmt.Errorf("about: %w", err)
	}
	return a, nil
}
