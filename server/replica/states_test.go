package replica

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"viewring/internal/invariant"
)

// machine is a table of phases as its diagram would have it.
type machine struct {
	starts []string
	next   map[string][]string // of each phase
}

// machineOf reads a table. Its phases are numbered from 0.
func machineOf[P interface {
	~uint8
	fmt.Stringer
}](table []phases, starts ...P) machine {
	m := machine{next: make(map[string][]string)}
	for _, p := range starts {
		m.starts = append(m.starts, p.String())
	}
	for i, next := range table {
		from := P(i).String()
		m.next[from] = nil
		for j := range table {
			if next&(1<<j) != 0 {
				m.next[from] = append(m.next[from], P(j).String())
			}
		}
	}
	return m
}

var machines = map[string]machine{
	"copy":     machineOf(copyNext, absent),
	"damage":   machineOf(damageNext, sound),
	"primary":  machineOf(primaryNext, reconciling),
	"follower": machineOf(followerNext, followerActing, followerSubscribed),
	"learner":  machineOf(learnerNext, subscribing),
	"read":     machineOf(readNext, readArrived),
	"repair":   machineOf(repairNext, repairSuspected),
	"watch":    machineOf(watchNext, watchWaiting),
}

// transitions lists what a machine can do, as a diagram's lines without their labels.
func (m machine) transitions() (lines []string) {
	for _, p := range m.starts {
		lines = append(lines, "[*] --> "+p)
	}
	for from, next := range m.next {
		if len(next) == 0 {
			lines = append(lines, from+" --> [*]")
		}
		for _, p := range next {
			lines = append(lines, from+" --> "+p)
		}
	}
	slices.Sort(lines)
	return lines
}

var (
	diagram    = regexp.MustCompile("(?ms)^## (\\w+)\n.*?^```mermaid\nstateDiagram-v2\n(.*?)^```\n")
	transition = regexp.MustCompile(`^    (\S+ --> \S+?)(: \S.*)?$`)
)

// diagrams reads the page: of each machine the lines of its diagram, without their labels.
func diagrams(page string) (drawn map[string][]string, bad []string) {
	drawn = make(map[string][]string)
	for _, found := range diagram.FindAllStringSubmatch(page, -1) {
		var lines []string
		for line := range strings.Lines(found[2]) {
			parts := transition.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if parts == nil || parts[2] == "" && !strings.Contains(parts[1], "[*]") {
				bad = append(bad, fmt.Sprintf("%s: %q is no transition with a reason", found[1], line))
				continue
			}
			lines = append(lines, parts[1])
		}
		slices.Sort(lines)
		drawn[found[1]] = lines
	}
	return drawn, bad
}

// compareStates returns what of the page is not in the tables, and the other way round.
func compareStates(page string, tables map[string]machine) (found []string) {
	drawn, found := diagrams(page)
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		has := tables[name].transitions()
		for _, line := range has {
			if !slices.Contains(drawn[name], line) {
				found = append(found, fmt.Sprintf("%s: only the code has %s", name, line))
			}
		}
		for i, line := range drawn[name] {
			if !slices.Contains(has, line) || i > 0 && drawn[name][i-1] == line {
				found = append(found, fmt.Sprintf("%s: only the page has %s, or twice", name, line))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(drawn)) {
		if _, ok := tables[name]; !ok {
			found = append(found, fmt.Sprintf("%s: the code has no such phases", name))
		}
	}
	return found
}

// TestStates: STATES.md draws the tables of phases, all of them and nothing else.
func TestStates(t *testing.T) {
	page, err := os.ReadFile("STATES.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range compareStates(string(page), machines) {
		t.Error(found)
	}
}

// TestStatesAreCompared: a difference on either side is found.
func TestStatesAreCompared(t *testing.T) {
	tables := map[string]machine{"door": {starts: []string{"open"}, next: map[string][]string{"open": {"shut"}, "shut": {"open", "gone"}, "gone": nil}}}
	good := []string{"[*] --> open", "open --> shut: wind", "shut --> open: a hand", "shut --> gone: fire", "gone --> [*]"}
	page := func(lines ...string) string {
		return "# Doors\n\n## door\n\nThey move.\n\n```mermaid\nstateDiagram-v2\n    " + strings.Join(lines, "\n    ") + "\n```\n"
	}
	if found := compareStates(page(good...), tables); found != nil {
		t.Errorf("found %q", found)
	}
	for i := range good {
		if compareStates(page(slices.Delete(slices.Clone(good), i, i+1)...), tables) == nil {
			t.Errorf("nothing is found without %s", good[i])
		}
		if compareStates(page(append(good, good[i])...), tables) == nil {
			t.Errorf("nothing is found with %s twice", good[i])
		}
	}
	for what, page := range map[string]string{
		"another transition":          page(append(good, "open --> gone: fire")...),
		"another beginning":           page(append(good, "[*] --> shut")...),
		"another end":                 page(append(good, "open --> [*]")...),
		"a transition without reason": page(append(slices.Clone(good[:1]), append(good[2:], "open --> shut")...)...),
		"no diagram":                  "# Doors\n",
		"another diagram":             page(good...) + strings.Replace(page(good...), "## door", "## window", 1),
	} {
		if compareStates(page, tables) == nil {
			t.Errorf("nothing is found in %s", what)
		}
	}
}

// TestPhasesAreChecked: a change that the table does not have ends the process.
func TestPhasesAreChecked(t *testing.T) {
	l := &primary{phase: reconciled}
	l.become(active)
	defer func() {
		if v, ok := recover().(invariant.Violation); !ok || v.Name != "phase" {
			t.Errorf("a primary that is active becomes reconciled: %v", v)
		}
	}()
	l.become(reconciled)
}
