package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"viewring/internal/codec"
	"viewring/internal/outcome"
	"viewring/viewleader/vocab"
)

// LockAsk asks for a lock.
type LockAsk struct {
	Lock, Client   string
	Session        uint64        // that the lock ends with; 0: none
	Shared         bool          // as one of several readers
	WaitInDeadlock bool          // wait even if that closes a cycle of waiters
	Wait           time.Duration // in the queue; negative: without end
	TTL            time.Duration // after which the lock is released; 0: never
}

// The options of CmdLockGet, after its arguments.
const (
	lockShared         = "SHARED"
	lockWaitInDeadlock = "KNOT"
	lockSession        = "SESSION"
)

// args is q as CmdLockGet carries it.
func (q *LockAsk) args() [][]byte {
	waitMS := int64(-1)
	if q.Wait >= 0 {
		waitMS = q.Wait.Milliseconds()
	}
	args := [][]byte{[]byte(CmdLockGet), []byte(q.Lock), []byte(q.Client),
		strconv.AppendInt(nil, waitMS, 10), strconv.AppendInt(nil, q.TTL.Milliseconds(), 10)}
	if q.Shared {
		args = append(args, []byte(lockShared))
	}
	if q.WaitInDeadlock {
		args = append(args, []byte(lockWaitInDeadlock))
	}
	if q.Session != 0 {
		args = append(args, []byte(lockSession), strconv.AppendUint(nil, q.Session, 10))
	}
	return args
}

// ParseLockAsk reads the arguments of CmdLockGet: lock, client, the wait and the
// time to live in milliseconds, options.
func ParseLockAsk(args [][]byte) (LockAsk, error) {
	q := LockAsk{Lock: string(args[0]), Client: string(args[1])}
	wait, err := strconv.ParseInt(string(args[2]), 10, 64)
	ttl, terr := strconv.ParseInt(string(args[3]), 10, 64)
	const most = int64(1<<63-1) / int64(time.Millisecond)
	if err != nil || terr != nil || ttl < 0 || wait > most || ttl > most {
		return q, fmt.Errorf("want a lock, a client and two times in milliseconds")
	}
	q.Wait, q.TTL = max(-1, time.Duration(wait)*time.Millisecond), time.Duration(ttl)*time.Millisecond
	for args = args[4:]; len(args) > 0; args = args[1:] {
		switch word := string(bytes.ToUpper(args[0])); {
		case word == lockShared:
			q.Shared = true
		case word == lockWaitInDeadlock:
			q.WaitInDeadlock = true
		case word == lockSession && len(args) > 1:
			args = args[1:]
			if q.Session, err = ParseSession(args[0]); err != nil {
				return q, err
			}
		default:
			return q, fmt.Errorf("unknown option %q", args[0])
		}
	}
	return q, nil
}

// ParseSession reads a session's id.
func ParseSession(arg []byte) (uint64, error) {
	id, err := strconv.ParseUint(string(arg), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no session", arg)
	}
	return id, nil
}

// AppendLocks encodes l. Times are kept to the millisecond. The view leader's snapshots
// hold locks in a format of their own: with how long who waits wants one.
func AppendLocks(b []byte, l *vocab.Locks) []byte {
	b = append(b, leaderFormat)
	b = binary.AppendUvarint(b, uint64(len(l.Locks)))
	for i := range l.Locks {
		b = appendLock(b, &l.Locks[i])
	}
	b = binary.AppendUvarint(b, uint64(len(l.Deadlocks)))
	for _, cycle := range l.Deadlocks {
		b = binary.AppendUvarint(b, uint64(len(cycle)))
		for _, w := range cycle {
			b = codec.AppendString(b, w.Client)
			b = binary.AppendUvarint(b, w.Session)
			b = codec.AppendString(b, w.Lock)
			b = codec.AppendString(b, w.For)
			b = codec.AppendBool(b, w.Behind)
		}
	}
	return b
}

func appendLock(b []byte, l *vocab.Lock) []byte {
	b = codec.AppendString(b, l.Name)
	b = codec.AppendBool(b, l.Shared)
	b = binary.AppendUvarint(b, uint64(len(l.Holders)))
	for _, h := range l.Holders {
		b = codec.AppendString(b, h.Client)
		b = binary.AppendUvarint(b, h.Session)
		b = binary.AppendUvarint(b, h.Token)
		b = appendTime(b, h.Since)
		b = appendTime(b, h.Expires)
		b = codec.AppendBool(b, h.Lost)
	}
	b = binary.AppendUvarint(b, uint64(len(l.Waiters)))
	for _, w := range l.Waiters {
		b = codec.AppendString(b, w.Client)
		b = binary.AppendUvarint(b, w.Session)
		b = codec.AppendBool(b, w.Shared)
	}
	return b
}

// AppendUnheard adds to what AppendLocks wrote the sessions that the head has not heard of.
func AppendUnheard(b []byte, sessions []uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(sessions)))
	for _, id := range sessions {
		b = binary.AppendUvarint(b, id)
	}
	return b
}

// readUnheard reads what AppendUnheard wrote.
func readUnheard(r *codec.Reader, all *vocab.Locks) {
	unheard := make(map[uint64]bool)
	for range r.Count(1) {
		unheard[r.Uvarint()] = true
	}
	for i := range all.Locks {
		for j := range all.Locks[i].Holders {
			h := &all.Locks[i].Holders[j]
			h.Unheard = h.Session != 0 && unheard[h.Session]
		}
	}
}

// DecodeLocks reads what AppendLocks wrote.
func DecodeLocks(b []byte) (vocab.Locks, error) { return decodeLeader("locks", b, readLocks) }

// DecodeLocksHeard reads what AppendLocks wrote, and AppendUnheard behind it.
func DecodeLocksHeard(b []byte) (vocab.Locks, error) {
	return decodeLeader("locks", b, func(r *codec.Reader) vocab.Locks {
		all := readLocks(r)
		readUnheard(r, &all)
		return all
	})
}

func readLocks(r *codec.Reader) vocab.Locks {
	return vocab.Locks{
		Locks: readList(r, 4, func() vocab.Lock {
			return vocab.Lock{
				Name: r.String(), Shared: r.Bool(),
				Holders: readList(r, 20, func() vocab.LockHolder {
					return vocab.LockHolder{Client: r.String(), Session: r.Uvarint(), Token: r.Uvarint(), Since: readTime(r), Expires: readTime(r), Lost: r.Bool()}
				}),
				Waiters: readList(r, 3, func() vocab.LockWaiter {
					return vocab.LockWaiter{Client: r.String(), Session: r.Uvarint(), Shared: r.Bool()}
				}),
			}
		}),
		Deadlocks: readList(r, 1, func() []vocab.LockWait {
			return readList(r, 5, func() vocab.LockWait {
				return vocab.LockWait{Client: r.String(), Session: r.Uvarint(), Lock: r.String(), For: r.String(), Behind: r.Bool()}
			})
		}),
	}
}

// LockGet takes a lock for a client and returns the fencing token. It waits in the
// queue: not at all with Wait 0, until ctx ends with a negative one. Whoever asks again
// is told of what was granted before. A refusal then is ErrOutcomeUnknown too: the
// earlier question may still be on its way, and what is granted by it is free again when
// the view leader has seen that nobody took the answer.
func (l *Leader) LockGet(ctx context.Context, q LockAsk) (uint64, error) {
	v, again, err := l.ask(ctx, question{kind: outcome.Repeatable, long: q.Wait != 0, wait: q.Wait, args: q.args()})
	if again && (IsCode(err, CodeLocked) || IsCode(err, CodeDeadlock)) {
		err = UnknownOutcome(err)
	}
	if err != nil {
		return 0, fmt.Errorf("lock %q: %w", q.Lock, err)
	}
	if len(v.Array) != 2 || v.Array[0].Kind != KindInt {
		return 0, UnknownOutcome(fmt.Errorf("lock %q: %w: unexpected answer", q.Lock, ErrProtocol))
	}
	return uint64(v.Array[0].Int), nil
}

// LockFree releases a client's lock; session is the one in which it is held, or 0.
func (l *Leader) LockFree(ctx context.Context, lock, client string, session uint64) error {
	args := [][]byte{[]byte(CmdLockFree), []byte(lock), []byte(client), strconv.AppendUint(nil, session, 10)}
	_, _, err := l.ask(ctx, question{kind: outcome.Repeatable, once: true, args: args})
	if err != nil {
		return fmt.Errorf("release lock %q: %w", lock, err)
	}
	return nil
}

// Locks lists all held locks, and the deadlocks among those who wait.
func (l *Leader) Locks(ctx context.Context) (vocab.Locks, error) {
	v, _, err := l.ask(ctx, question{args: [][]byte{[]byte(CmdLocks), []byte("1")}})
	decode := DecodeLocksHeard
	if IsCode(err, CodeErr) { // an earlier build
		v, _, err = l.ask(ctx, question{args: [][]byte{[]byte(CmdLocks)}})
		decode = DecodeLocks
	}
	if err != nil {
		return vocab.Locks{}, fmt.Errorf("locks: %w", err)
	}
	return decode(v.Bytes)
}

// The verbs of CmdSession.
const (
	SessionOpen  = "OPEN"  // time to live, lock delay → id
	SessionKeep  = "KEEP"  // id
	SessionEnd   = "END"   // id
	SessionEnded = "ENDED" // ids → those of them that are not open, for good
	SessionEnds  = "ENDS"  // count, wait → another count, once more sessions have ended
)

// SessionOpen begins a session that ends after ttl of silence; then whoever is next
// gets its locks after delay.
func (l *Leader) SessionOpen(ctx context.Context, ttl, delay time.Duration) (uint64, error) {
	v, _, err := l.ask(ctx, question{args: [][]byte{[]byte(CmdSession), []byte(SessionOpen),
		strconv.AppendInt(nil, ttl.Milliseconds(), 10), strconv.AppendInt(nil, delay.Milliseconds(), 10)}})
	if err != nil {
		return 0, fmt.Errorf("open a session: %w", err)
	}
	return uint64(v.Int), nil
}

// SessionKeep keeps a session alive. One that has ended is CodeNoSession.
func (l *Leader) SessionKeep(ctx context.Context, id uint64) error {
	return l.session(ctx, SessionKeep, outcome.Read, id)
}

// SessionEnd ends a session; its locks are free at once. One that has ended
// already is no error.
func (l *Leader) SessionEnd(ctx context.Context, id uint64) error {
	if err := l.session(ctx, SessionEnd, outcome.Repeatable, id); !IsCode(err, CodeNoSession) {
		return err
	}
	return nil
}

// SessionsMax bounds how many sessions one question is about: the head of the view leaders does
// nothing else while it looks them up.
const SessionsMax = 1000

// SessionsEnded returns which of at most SessionsMax sessions are not open. They never will be:
// ids are not given twice. Every session that was opened before the call is known.
func (l *Leader) SessionsEnded(ctx context.Context, ids []uint64) ([]uint64, error) {
	v, _, err := l.ask(ctx, question{args: [][]byte{[]byte(CmdSession), []byte(SessionEnded), AppendSessions(nil, ids)}})
	if err != nil {
		return nil, fmt.Errorf("which sessions have ended: %w", err)
	}
	return DecodeSessions(v.Bytes)
}

// AwaitSessionEnds waits until sessions have ended since a call that returned since, 0 for the
// first, or for so long, and returns what to ask with next. What it returns says nothing else:
// another head counts from another number.
func (l *Leader) AwaitSessionEnds(ctx context.Context, since uint64, wait time.Duration) (uint64, error) {
	v, _, err := l.ask(ctx, question{long: true, wait: wait, args: [][]byte{[]byte(CmdSession), []byte(SessionEnds),
		strconv.AppendUint(nil, since, 10), strconv.AppendInt(nil, wait.Milliseconds(), 10)}})
	if err != nil {
		return since, fmt.Errorf("wait for ends of sessions: %w", err)
	}
	if v.Kind != KindBulk {
		return since, nil
	}
	count, err := strconv.ParseUint(string(v.Bytes), 10, 64)
	if err != nil {
		return since, fmt.Errorf("wait for ends of sessions: %w: %w", ErrProtocol, err)
	}
	return count, nil
}

// AppendSessions encodes ids.
func AppendSessions(b []byte, ids []uint64) []byte {
	b = append(b, leaderFormat)
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = binary.AppendUvarint(b, id)
	}
	return b
}

// DecodeSessions reads what AppendSessions wrote.
func DecodeSessions(b []byte) ([]uint64, error) {
	return decodeLeader("sessions", b, func(r *codec.Reader) []uint64 {
		n := r.Count(1)
		if n > SessionsMax {
			r.Invalid("%d sessions, at most %d are asked about at once", n, SessionsMax)
			return nil
		}
		ids := make([]uint64, n)
		for i := range ids {
			ids[i] = r.Uvarint()
		}
		return ids
	})
}

func (l *Leader) session(ctx context.Context, verb string, kind outcome.Kind, id uint64) error {
	_, _, err := l.ask(ctx, question{kind: kind, args: [][]byte{[]byte(CmdSession), []byte(verb), strconv.AppendUint(nil, id, 10)}})
	if err != nil {
		return fmt.Errorf("session %d: %w", id, err)
	}
	return nil
}
