package sim

import (
	"fmt"
	"regexp"
	"slices"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/viewleader/roster"
)

// cover counts the transitions of the replica state machine, by looking at every
// partition of a lane before and after it ran.
func (l *lane) cover() {
	w := l.s.w
	for p := l.id; p < w.partitions; p += lanes {
		was, is := l.seen[p], l.core.Detail(ring.PartitionID(p))
		if was == is {
			continue
		}
		l.seen[p] = is
		if was == (replica.Detail{}) {
			was = replica.Detail{State: "absent", Role: "none"} // of a new process
			if is.State == "whole" && is.Role != "primary" || is.State == "learning" {
				was.State = is.State // which had it on its disk
			}
		}
		w.transition(was, is)
	}
}

func (w *world) transition(was, is replica.Detail) {
	changed := func(what, a, b string) {
		if a != b {
			w.count(fmt.Sprintf("state %s: %s → %s", what, orNone(a), orNone(b)))
		}
	}
	changed("copy", was.State, is.State)
	changed("primary", was.Lead, is.Lead)
	changed("learner", was.Learn, is.Learn)
	if was.Term != is.Term && was.Term != 0 {
		w.count(fmt.Sprintf("state term: %s → %s", was.Role, is.Role))
	} else if was.Role != is.Role && was.Term != 0 {
		w.count(fmt.Sprintf("state targets: %s → %s", was.Role, is.Role))
	}
	for what, happened := range map[string]bool{
		"state delta staged":                       is.Learn == "staging" && was.Learn != "staging",
		"state delta swapped in":                   was.Learn == "staging" && (is.Learn == "swapping" || is.Learn == "following" || is.Learn == "announced"),
		"state delta given up":                     was.Learn == "staging" && (is.Learn == "" || is.Learn == "copying" || is.Learn == "subscribing"),
		"state tail dropped":                       is.Drops && !was.Drops,
		"state proposed":                           is.Proposed > was.Proposed,
		"state proposal ended by a term":           is.Proposed == 0 && was.Proposed > 0 && is.Term != was.Term,
		"state tail held back":                     is.HeldBack && !was.HeldBack,
		"state tail held back, then committed":     was.HeldBack && !is.HeldBack && is.Lead != "",
		"state repairing":                          is.Repairing > was.Repairing,
		"state repaired":                           is.Repairing < was.Repairing,
		"state primary again in the next term":     was.Role == "primary" && is.Role == "primary" && was.Term != is.Term,
		"state learner copies on in the next term": (was.Learn == "copying" || was.Learn == "staging") && is.Learn != "" && was.Term != is.Term,
	} {
		if happened {
			w.count(what)
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

var numbers = regexp.MustCompile(`\b(s|incarnation )?\d+(\.\d+)?(ms|s)?\b|address \S+|\[.*\]|incarnation$`)

// coverRoster counts what a batch of commands came to.
func (w *world) coverRoster(before, after *ring.View, cmds []roster.Command, results []roster.Result) {
	for i, r := range results {
		if r.Code == roster.Refused {
			w.count(fmt.Sprintf("refused %s: %s", commandName(cmds[i].Kind), numbers.ReplaceAllString(r.Reason, "N")))
		} else {
			w.count("command " + commandName(cmds[i].Kind))
		}
	}
	for i := range after.Partitions {
		a, b := before.Partitions[i].Acting, after.Partitions[i].Acting
		gone := slices.DeleteFunc(slices.Clone(a), func(id ring.ServerID) bool { return slices.Contains(b, id) })
		added := slices.DeleteFunc(slices.Clone(b), func(id ring.ServerID) bool { return slices.Contains(a, id) })
		switch {
		case len(a) > 0 && len(gone) == len(a) && len(added) == 1:
			w.count("acting restored from the last writable set")
		case len(gone) > 0 && len(added) > 0:
			w.count("acting some replaced")
		case len(gone) > 0:
			w.count("acting shrinks")
		case len(added) > 0:
			w.count("acting grows")
		case !slices.Equal(a, b):
			w.count("acting in another order")
		}
		if len(b) > 0 && before.Partitions[i].MinCopies > after.Partitions[i].MinCopies {
			w.count("acting min-copies lowered")
		}
	}
}

func commandName(k roster.Kind) string {
	return map[roster.Kind]string{roster.KindRegister: "register", roster.KindExpire: "expire", roster.KindOut: "out",
		roster.KindHandoff: "handoff", roster.KindEject: "eject", roster.KindLeave: "leave", roster.KindDrain: "drain", roster.KindUndrain: "undrain",
		roster.KindRemove: "remove", roster.KindConfigure: "configure", roster.KindAcceptLoss: "accept-loss", roster.KindRestore: "restore"}[k]
}

// checkCommands is I2: acting changes with the term alone, terms only grow, and what
// a server asked for was asked in the term that it changes.
func (w *world) checkCommands(before, after *ring.View, cmds []roster.Command, results []roster.Result) {
	for i := range after.Partitions {
		a, b := &before.Partitions[i], &after.Partitions[i]
		if b.Term < a.Term || !slices.Equal(a.Acting, b.Acting) && (b.Term == a.Term || b.Term != after.Epoch) {
			w.violated("I2", "partition %d: acting %v of term %d becomes %v of term %d in epoch %d", i, a.Acting, a.Term, b.Acting, b.Term, after.Epoch)
		}
	}
	for i, c := range cmds {
		if (c.Kind == roster.KindHandoff || c.Kind == roster.KindEject || c.Kind == roster.KindRestore) && results[i].Code == roster.Done && before.Partitions[c.Partition].Term != c.Term {
			w.violated("I2", "partition %d: asked in term %d, done in term %d", c.Partition, c.Term, before.Partitions[c.Partition].Term)
		}
		w.checkRetired(before, c, results[i].Code)
	}
}

// checkRetired is hole 28: a server that is drained or has no room goes of its own
// accord only where others are enough without it. One that has met damage may go
// sooner, and remembers it when what was damaged has been overwritten (seed 50004432).
func (w *world) checkRetired(before *ring.View, c roster.Command, code roster.Code) {
	if c.Kind != roster.KindEject || code != roster.Done || c.Who[0].ID != c.From.ID {
		return
	}
	s := w.byID(c.From.ID)
	p := &before.Partitions[c.Partition]
	if s == nil || !s.alive || s.disk.harmed[c.Partition] || s.disk.lostBefore > 0 || !p.IsActing(s.id()) {
		return
	}
	others := 0
	for _, id := range p.Acting {
		if id != s.id() && before.Member(id).Up {
			others++
		}
	}
	invariant.Check(others >= int(p.MinCopies), "H28", "partition %d: %v goes, %d of %v are left, min-copies is %d", c.Partition, s, others, p.Acting, p.MinCopies)
}

// messageCounters has the name under which a message is counted when it comes in.
var messageCounters = func() (names [64]string) {
	for t := range names {
		names[t] = "message " + replica.MsgType(t).String()
	}
	return names
}()
