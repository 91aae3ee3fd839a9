package tree

import (
	"fmt"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// contentStep is a step about a content while it is evaluated.
type contentStep struct{ q *wire.TreeRequest }

// keys are those that the step looks at, as far as the request tells: of a content that is to
// be begun nothing, for its version is not known. Then they are such as nothing is stored under.
func (s contentStep) keys() []replica.Key {
	return []replica.Key{contentKey(s.q.Home, s.q.Nonce), todoKey(s.q.Home, s.q.Nonce)}
}

// evaluate is the replica.Evaluation of the step.
func (s contentStep) evaluate(found []replica.Item, version replica.Version, now int64) replica.Outcome {
	keys := s.keys()
	if s.q.Op == wire.TreeBegin || s.q.Op == wire.TreeBeginRecords {
		keys = appendContent(keys, s.q.Home, wire.TreeVersion(version))
	} else if !found[0].Version.IsZero() && s.q.Op == wire.TreeEnd {
		c, err := decodeContent(found[0].Value)
		if err != nil {
			return failed(wire.TreeUnreadable, 0, wire.TreeVersion{})
		}
		for _, v := range c.Owners {
			keys = appendContent(keys, s.q.Home, v)
		}
	}
	if len(keys) > len(found) {
		return replica.Outcome{More: keys[len(found):]}
	}
	st := newSlotState(s.q, "", version, now)
	if !st.readEntries(append([]replica.Key{""}, keys...), append([]replica.Item{{}}, found...)) {
		return st.fail(wire.TreeUnreadable)
	}
	out := s.run(st, keys[0])
	if out.Answer.Status == replica.StatusOK {
		st.concludeContents()
		out.Writes = st.writes()
	}
	return out
}

func (s contentStep) run(st *slotState, key replica.Key) replica.Outcome {
	if s.q.Op == wire.TreeBegin || s.q.Op == wire.TreeBeginRecords {
		return s.begin(st)
	}
	c := st.contents[key]
	if c == nil {
		return st.fail(wire.TreeNoContent)
	}
	switch s.q.Op {
	case wire.TreeTouch:
		return s.touch(st, c, key)
	case wire.TreeAbort:
		state := c.State
		if state == wire.ContentWriting {
			c.State = wire.ContentEnded
			st.touch(key)
		}
		return st.done(int64(state))
	case wire.TreeEnd:
		return s.end(st, c, key)
	case wire.TreeShrink, wire.TreeGone:
		return s.dismantle(st, c, key)
	case wire.TreeExtend:
		return s.extend(st, c, key)
	case wire.TreeTrim:
		return s.trim(st, c, key)
	}
	panic(fmt.Sprintf("tree: step %d about a content", s.q.Op))
}

func (s contentStep) begin(st *slotState) replica.Outcome {
	key, todo := contentKey(s.q.Home, st.version), todoKey(s.q.Home, st.version)
	reserved := int64(min(s.q.Limit, ContentAhead))
	c := &wire.TreeContentRecord{State: wire.ContentWriting, Reserved: reserved, Idle: st.version}
	if s.q.Op == wire.TreeBeginRecords {
		x := &s.q.Records
		c.Reserved, c.Records = 0, &wire.TreeRecords{ChunkBytes: x.ChunkBytes, RetainBytes: x.RetainBytes, RetainAge: x.RetainAge}
	}
	st.contents[key] = &content{TreeContentRecord: c}
	st.owned[todo] = true
	st.touch(key)
	st.touch(todo)
	return st.done(c.Reserved)
}

func (s contentStep) touch(st *slotState, c *content, key replica.Key) replica.Outcome {
	switch {
	case c.State == wire.ContentEnded || c.Records != nil && c.Refs == 0: // nobody keeps a record file that is removed
		return st.fail(wire.TreeNoContent)
	case c.State == wire.ContentWriting:
		c.Reserved = max(c.Reserved, min(int64(s.q.Limit), c.Reserved+ContentAhead, ContentChunksMax))
	case c.Refs > 0:
		return st.done(c.Reserved)
	}
	c.Idle = st.version
	st.touch(key)
	st.touch(todoKey(s.q.Home, s.q.Nonce)) // written again, so that janitors count anew
	return st.done(c.Reserved)
}

func (s contentStep) end(st *slotState, c *content, key replica.Key) replica.Outcome {
	switch {
	case c.State == wire.ContentEnded:
		return st.done(0)
	case c.Refs > 0 || c.Idle != s.q.Idle:
		return st.fail(wire.TreeInUse)
	}
	for _, v := range c.Owners { // whole contents have them alone
		o := contentKey(s.q.Home, v)
		if owner := st.contents[o]; owner != nil {
			owner.Refs--
			st.touch(o)
		}
	}
	c.State = wire.ContentEnded
	st.touch(key)
	return st.done(0)
}

func (s contentStep) dismantle(st *slotState, c *content, key replica.Key) replica.Outcome {
	switch {
	case c.State != wire.ContentEnded:
		return st.fail(wire.TreeInUse)
	case s.q.Op == wire.TreeShrink:
		c.Reserved = min(c.Reserved, int64(s.q.Limit))
	case c.Reserved > 0:
		return st.fail(wire.TreeInUse)
	default:
		c.gone = true
		todo := todoKey(s.q.Home, s.q.Nonce)
		st.owned[todo] = false
		st.touch(todo)
	}
	st.touch(key)
	return st.done(0)
}
