package redis

import (
	"fmt"
	"maps"
	"slices"

	"viewring/internal/wire"
)

// Subscriptions to channels, of which a server has those that tell of changes of keys: Redis's
// keyspace notifications.

// Scope is what a subscription names.
type Scope uint8

// The scopes.
const (
	OneChannel Scope = iota
	Pattern          // all channels that match it
	scopes
)

// Prefixes of the channels that tell of keys, and the names of what becomes of them.
const (
	KeyspacePrefix = "__keyspace@0__:" // a key follows; messages are events
	KeyeventPrefix = "__keyevent@0__:" // an event follows; messages are keys

	EventSet     = "set" // the key was given a value, or another expiry
	EventDel     = "del"
	EventExpired = "expired"
)

// NotifyEvents is what CONFIG GET notify-keyspace-events tells of that, in Redis's letters.
const NotifyEvents = "g$xKE"

// subscriptions of a session. Its goroutine alone has the names.
type subscriptions struct {
	names [scopes]map[string]struct{}
	count [scopes]int // how many they are; others list it
}

// Subscribe makes the client hear a channel, or those that match a pattern. It returns how
// many subscriptions it then has, and whether this is a new one.
func (s *Session) Subscribe(scope Scope, name string) (count int, isNew bool) {
	if s.subs.names[scope] == nil {
		s.subs.names[scope] = make(map[string]struct{})
	}
	names := s.subs.names[scope]
	_, had := names[name]
	names[name] = struct{}{}
	s.countSubscriptions()
	return s.Subscriptions(), !had
}

// Unsubscribe ends a subscription, if there is one.
func (s *Session) Unsubscribe(scope Scope, name string) (count int, had bool) {
	_, had = s.subs.names[scope][name]
	delete(s.subs.names[scope], name)
	s.countSubscriptions()
	return s.Subscriptions(), had
}

func (s *Session) countSubscriptions() {
	s.tell(func() {
		for scope, names := range s.subs.names {
			s.subs.count[scope] = len(names)
		}
	})
}

// Subscribed returns the names of the subscriptions of a scope, sorted.
func (s *Session) Subscribed(scope Scope) []string {
	return slices.Sorted(maps.Keys(s.subs.names[scope]))
}

// Subscriptions is how many there are. The caller is the session's goroutine.
func (s *Session) Subscriptions() int { return s.subs.count[OneChannel] + s.subs.count[Pattern] }

// Restricted reports whether the client may only ask for what Listens: it is told of what it
// subscribed to, and speaks a version of the protocol in which it could not tell that from
// replies.
func (s *Session) Restricted() bool { return s.proto == 2 && s.Subscriptions() > 0 }

// Listens reports whether a client that is Restricted may ask for the command.
func (c *Command) Listens() bool { return c.means.listens }

// ErrRestricted is the error reply to a command that such a client may not ask for.
func ErrRestricted(name string) string {
	return fmt.Sprintf("ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context", name)
}

// Confirm is the reply to one name of a command that subscribes or ends that; nil: to one that
// ends all, and there is none.
func Confirm(cmd *Command, name []byte, count int) wire.Value {
	what := Nil()
	if name != nil {
		what = Bulk(name)
	}
	return wire.Value{Kind: wire.KindPush, Array: []wire.Value{Text(cmd.Name), what, Number(int64(count))}}
}

// talkNoPublish refuses what would send messages to clients, or listen to such.
func talkNoPublish(*Session, [][]byte) wire.Value {
	return Fail("ERR clients can't send messages here: channels tell of changes of keys, " + KeyspacePrefix + "<key> and " + KeyeventPrefix + "<event>")
}
