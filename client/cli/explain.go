package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/ring"
)

func (a *app) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "explain KEY",
		Short: "show where a key is, and why",
		Long: `Show where a key is, and why: its hash, slot and partition; the walk over the
ring, with the servers that it passes by and the reason; who should have the key
and who has it; and what would change if one of these servers left. The key need
not exist, and is not read.`,
		Example: "  viewring explain greeting\n  viewring explain 'cart:{7}' --json",
		Args:    wants("KEY"),
		RunE: a.onCluster(func(ctx context.Context, c *admin.Cluster, args []string) error {
			st, err := c.Status(ctx)
			if err != nil {
				return err
			}
			e, err := st.Explain(args[0])
			if err != nil {
				return err
			}
			if a.flags.json {
				a.printJSON(explainObject(e))
			} else {
				a.printExplanation(e)
			}
			return nil
		}),
	}
}

func (a *app) printExplanation(e *admin.Explanation) {
	hashed := ""
	if e.Hashed != e.Key {
		hashed = " of its tag " + quoted(e.Hashed)
	}
	a.printf("%s: hash 0x%04x%s, slot %d of %d\n", quoted(e.Key), e.Hash, hashed, e.Slot, ring.Slots)
	a.printf("partition %d of %d has %s\n\n", e.Partition, e.Partitions, slotsWord(e))
	if len(e.Targets) > 0 {
		a.printf("the walk over the ring, clockwise from the partition's place at %s:\n", ofRing(e.Walk.At))
		head, rows := walkTable(e.Walk)
		a.table(head, rows)
		a.printf("\n")
	}
	for _, line := range whoHas(e) {
		c := color("")
		if line.bad {
			c = red
		}
		a.printf("%s\n", a.paint(a.env.Stdout, c, line.text))
	}
	for _, l := range e.Leaves {
		a.printf("if %v left: %s\n", l.Server, leavingText(e, &l))
	}
}

func slotsWord(e *admin.Explanation) string {
	if e.First == e.Last {
		return fmt.Sprintf("slot %d", e.First)
	}
	return fmt.Sprintf("slots %d to %d", e.First, e.Last)
}

// ofRing is a place on the ring as people read it: how much of a round it is from the ring's beginning.
func ofRing(at float64) string { return fmt.Sprintf("%.3f%%", 100*at) }

func walkTable(w ring.Walk) (head []string, rows [][]string) {
	zones := slices.ContainsFunc(w.Met, func(m ring.Met) bool { return m.Zone != "" })
	head = []string{"SERVER", ">POINT AT", ">COPIES", ">AT MOST", "WHAT"}
	if zones {
		head = slices.Insert(head, 1, "ZONE")
	}
	for _, m := range w.Met {
		row := []string{m.Server.String(), ofRing(m.At), strconv.Itoa(m.Copies), strconv.Itoa(m.Room), metText(&m)}
		if zones {
			row = slices.Insert(row, 1, zoneOf(&ring.Member{Zone: m.Zone}))
		}
		rows = append(rows, row)
	}
	return head, rows
}

// metText says what a walk made of a server.
func metText(m *ring.Met) string {
	takes := map[int]string{1: "primary", 2: "second copy", 3: "third copy"}[m.Takes]
	passed := ""
	switch m.Passed {
	case ring.PassedAway:
		passed = "it is leaving, or out"
	case ring.PassedPrimaries:
		passed = "it has its share of primaries"
	case ring.PassedZone:
		passed = "a copy is in its zone"
	case ring.PassedFull:
		passed = "it is full"
	}
	switch {
	case passed == "":
		return takes
	case takes == "":
		return "passed by: " + passed
	}
	return takes + "; first passed by: " + passed
}

// remark is a line of an explanation.
type remark struct {
	text string
	bad  bool
}

// whoHas says who has a key and who should have it.
func whoHas(e *admin.Explanation) (lines []remark) {
	switch {
	case len(e.Targets) == 0 && len(e.Acting) == 0:
		return []remark{{"nobody has it: no server has joined yet", true}}
	case e.Unserved != "":
		lines = append(lines, remark{"nobody serves it: " + e.Unserved, true})
	default:
		lines = append(lines, remark{text: "served by " + joined(e.Acting[:1]) + copiesOn(e.Acting[1:])})
	}
	text := "that is where the ring wants it"
	if !slices.Equal(e.Acting, e.Targets) {
		text = "the ring wants it on " + joined(e.Targets)
		if len(e.Down) == 0 {
			text += ": the cluster is on the way there"
		}
	}
	lines = append(lines, remark{text: text})
	for _, id := range e.Down {
		lines = append(lines, remark{fmt.Sprintf("%v is down", id), true})
	}
	return lines
}

func copiesOn(backups []ring.ServerID) string {
	if len(backups) == 0 {
		return ", the only copy"
	}
	return ", with copies on " + joined(backups)
}

// leavingText says what would change if a server left.
func leavingText(e *admin.Explanation, l *admin.Leaving) string {
	if len(l.Targets) == 0 {
		return "nobody would have it: it could not leave"
	}
	var parts []string
	if len(l.New) > 0 {
		parts = append(parts, joined(l.New)+" would make a copy")
	}
	if len(e.Targets) > 0 && l.Targets[0] != e.Targets[0] {
		parts = append(parts, fmt.Sprintf("%v would be the primary", l.Targets[0]))
	}
	if len(l.Targets) < len(e.Targets) {
		parts = append(parts, copies(len(l.Targets))+" would be left")
	}
	if len(parts) == 0 {
		return "nothing would change for it"
	}
	return strings.Join(parts, ", ")
}

// metObject is a server that a walk meets, in the output of explain --json.
type metObject struct {
	Server string  `json:"server"`
	Zone   string  `json:"zone"`
	At     float64 `json:"at"`
	Copies int     `json:"copies"`
	Room   int     `json:"room"`
	Takes  int     `json:"takes"`
	Passed string  `json:"passed"`
	Text   string  `json:"text"`
}

func explainObject(e *admin.Explanation) map[string]any {
	walk := make([]metObject, 0, len(e.Walk.Met))
	for _, m := range e.Walk.Met {
		walk = append(walk, metObject{m.Server.String(), m.Zone, m.At, m.Copies, m.Room, m.Takes, m.Passed.String(), metText(&m)})
	}
	leaves := make([]map[string]any, 0, len(e.Leaves))
	for _, l := range e.Leaves {
		leaves = append(leaves, map[string]any{"server": l.Server.String(), "targets": idNames(l.Targets), "new": idNames(l.New), "text": leavingText(e, &l)})
	}
	var says []string
	for _, line := range whoHas(e) {
		says = append(says, line.text)
	}
	return map[string]any{
		"version": jsonVersion, "name": []byte(e.Key), "hashed": []byte(e.Hashed), "hash": e.Hash, "slot": e.Slot,
		"partition": e.Partition, "partitions": e.Partitions, "first_slot": e.First, "last_slot": e.Last,
		"at": e.Walk.At, "walk": walk, "targets": idNames(e.Targets), "acting": idNames(e.Acting), "down": idNames(e.Down),
		"served": e.Unserved == "" && len(e.Acting) > 0, "text": says, "if_left": leaves,
	}
}

func idNames(ids []ring.ServerID) []string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	return names
}
