package bubble

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"viewring/internal/codec"
	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/store"
)

// told listens to what servers tell each other, and view leaders, of what their disks
// keep, and now and then looks whether a power cut at that moment would leave it.
// Histories alone seldom show that somebody was told too early: all copies would have
// to lose the same write.
type told struct {
	w         *world
	nodes     sync.Map // by name
	examining sync.WaitGroup

	mu       sync.Mutex
	next     map[string]time.Time // by what is told: when it is looked at again
	looks    map[string]int
	problems []string
}

// Between two looks at the same sort of word. Votes are so rare that each is looked at.
const (
	lookEvery = 3 * time.Second
	voteSort  = "vote"
)

func newTold(w *world) *told {
	return &told{w: w, next: make(map[string]time.Time), looks: make(map[string]int)}
}

// claim is one word about a disk.
type claim struct {
	sort string
	text string
	// lacks says what is missing on a disk; "": nothing.
	lacks func(d *crashdisk.FS) (string, error)
}

// hear takes what a node writes to a connection. The caller holds no lock.
func (t *told) hear(from string, c *conn, b []byte) {
	who, ok := t.nodes.Load(from)
	if !ok {
		c.deaf = true
		return
	}
	n := who.(*node)
	c.said = append(c.said, b...)
	for {
		name, body, rest, ok := cutCommand(c.said)
		if !ok {
			return
		}
		if rest == nil { // a client's, or an answer
			c.said, c.deaf = nil, true
			return
		}
		c.said = rest
		switch name {
		case wire.CmdFrame:
			t.hearFrame(n, body)
		case wire.CmdRaft:
			c.piece = append(c.piece, body[1:]...)
			if body[0] == wire.PieceLast {
				t.hearRaft(n, c.piece)
				c.piece = nil
			}
		}
	}
}

// cutCommand takes a command of two bulks off the front; ok is false when not all of it
// is there. rest is nil when it is something else, which no link begins with.
func cutCommand(b []byte) (name string, body, rest []byte, ok bool) {
	const two = "*2\r\n"
	if len(b) < len(two) {
		return "", nil, nil, false
	}
	if string(b[:len(two)]) != two {
		return "", nil, nil, true
	}
	var bulks [2][]byte
	at := b[len(two):]
	for i := range bulks {
		head, after, found := bytes.Cut(at, []byte("\r\n"))
		if !found {
			return "", nil, nil, false
		}
		var size int
		if _, err := fmt.Sscanf(string(head), "$%d", &size); err != nil {
			return "", nil, nil, true
		}
		if len(after) < size+2 {
			return "", nil, nil, false
		}
		bulks[i], at = after[:size], after[size+2:]
	}
	if at == nil {
		at = []byte{}
	}
	return string(bulks[0]), bulks[1], at, true
}

// hearFrame finds what a server says of its disk.
func (t *told) hearFrame(n *node, frame []byte) {
	r := codec.NewReader(bytes.Clone(frame))
	_ = r.Byte() // the format: the receiver looks at it
	epoch, _ := r.Uvarint(), r.Uvarint()
	t.look(n, claim{sort: "epoch", text: fmt.Sprintf("it is at epoch %d", epoch), lacks: onServer(func(s *store.Store) string {
		if had := s.Identity().Epoch; had < epoch {
			return fmt.Sprintf("it would be at epoch %d", had)
		}
		return ""
	})})
	for r.Err() == nil && r.Len() > 0 {
		m, err := replica.DecodeMessage(r)
		if err != nil {
			return // the receiver says so
		}
		seq := uint64(0)
		switch {
		case m.Type == replica.MsgAck && m.Digest != 0: // a learner's that does not act has none
			seq = m.Seq
		case m.Type == replica.MsgAppend:
			seq = m.Commit
		case m.Type == replica.MsgState:
			seq = m.Last.Seq
		}
		if seq > 0 {
			t.look(n, claim{sort: m.Type.String(), text: fmt.Sprintf("%v of partition %d in term %d up to %d", m.Type, m.Partition, m.Term, seq),
				lacks: lacksEntries(m.Partition, seq)})
		}
	}
}

func lacksEntries(p ring.PartitionID, seq uint64) func(*crashdisk.FS) (string, error) {
	return onServer(func(s *store.Store) string {
		var last uint64
		if err := s.Metas(func(q ring.PartitionID, meta []byte) bool {
			if q == p {
				last = replica.MetaLast(meta)
			}
			return q != p
		}); err != nil {
			return err.Error()
		}
		if last < seq {
			return fmt.Sprintf("its log would end at %d", last)
		}
		return ""
	})
}

// onServer looks into a server's store, as a start would find it.
func onServer(look func(*store.Store) string) func(*crashdisk.FS) (string, error) {
	return func(d *crashdisk.FS) (string, error) {
		s, err := store.Open("data", d, store.Options{SegmentBytes: segmentBytes}, slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			return "", err
		}
		what := look(s)
		return what, s.Close()
	}
}

// hearRaft finds what a view leader says of its log.
func (t *told) hearRaft(n *node, b []byte) {
	m := &pb.Message{}
	if err := proto.Unmarshal(b, m); err != nil || m.GetReject() {
		return
	}
	switch m.GetType() {
	case pb.MsgAppResp:
		t.look(n, claim{sort: "raft log", text: fmt.Sprintf("its log has entry %d in term %d", m.GetIndex(), m.GetTerm()), lacks: onLeader(func(l *raftLog) string {
			if l.term <= m.GetTerm() && l.last < m.GetIndex() {
				return fmt.Sprintf("its log would end at %d", l.last)
			}
			return ""
		})})
	case pb.MsgVoteResp:
		t.look(n, claim{sort: voteSort, text: fmt.Sprintf("it votes for %d in term %d", m.GetTo(), m.GetTerm()), lacks: onLeader(func(l *raftLog) string {
			if l.term < m.GetTerm() || l.term == m.GetTerm() && l.vote != m.GetTo() {
				return fmt.Sprintf("it would have voted for %d in term %d", l.vote, l.term)
			}
			return ""
		})})
	}
}

// raftLog is what a view leader's folder says (appendState in viewleader/disk.go).
type raftLog struct{ term, vote, last uint64 }

func onLeader(look func(*raftLog) string) func(*crashdisk.FS) (string, error) {
	return func(d *crashdisk.FS) (what string, err error) {
		s, err := seglog.Open(d, seglog.Options{Manual: true})
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		var state []byte
		for _, m := range s.Metas() {
			if m.Suspect {
				return "", fmt.Errorf("something is lost of partition %d of the log's store", m.Part)
			}
			if m.Part == 0 {
				state = m.Value
			}
		}
		r := codec.NewReader(state)
		_ = r.Byte() // the format
		for range 2 {
			r.Fixed(make([]byte, 16)) // the store's and the cluster's id
		}
		l := &raftLog{}
		var id, commit, snapshot, pieces uint64
		for _, n := range []*uint64{&id, &l.term, &l.vote, &commit, &snapshot, &pieces, &l.last} {
			*n = r.Uvarint()
		}
		if err := r.Done(); err != nil {
			return "", fmt.Errorf("state of the log: %w", err)
		}
		return look(l), nil
	}
}

// look examines a claim, if it is time to and there is something to lose.
func (t *told) look(n *node, c claim) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.up || !n.unsynced || !t.due(c.sort) {
		return
	}
	synced, written := n.fs.CrashClone(0, n.rng), n.fs.CrashClone(100, n.rng)
	t.examining.Go(func() { t.examine(n, c, synced, written) })
}

func (t *told) due(sort string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Before(t.next[sort]) {
		return false
	}
	if sort != voteSort {
		t.next[sort] = now.Add(lookEvery)
	}
	return true
}

// examine complains when what was told was not synced, though it was written: what is
// not even written may have been undone since it was told, by a later term.
func (t *told) examine(n *node, c claim, synced, written *crashdisk.FS) {
	what, err := c.lacks(synced)
	if err == nil && what != "" {
		if gone, werr := c.lacks(written); werr == nil && gone != "" {
			what = ""
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.looks[c.sort]++
	if err != nil {
		t.problems = append(t.problems, fmt.Sprintf("%s: after a power cut its folder could not be opened: %v", n.name, err))
	} else if what != "" {
		t.problems = append(t.problems, fmt.Sprintf("%s told that %s: after a power cut %s", n.name, c.text, what))
		t.w.trace.note("%s told too early: %s", n.name, c.text)
	}
}
