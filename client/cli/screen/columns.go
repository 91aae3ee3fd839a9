package screen

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// column is one of the table.
type column struct {
	title  string
	number bool // aligned right, and the largest first when it is chosen
	// spare says which goes first where the screen is too narrow: that of the highest.
	spare   int
	text    func(s *Server) string
	compare func(a, b *Server) int
	some    func(s *Server) bool // nil: it is always shown; else if this holds of any server
}

func by[T cmp.Ordered](of func(s *Server) T) func(a, b *Server) int {
	return func(a, b *Server) int { return cmp.Compare(of(a), of(b)) }
}

var columns = []column{
	{title: "ID", text: func(s *Server) string { return s.Name }, compare: by(func(s *Server) uint64 { return s.Number })},
	{title: "STATE", text: func(s *Server) string { return s.State }, compare: by(func(s *Server) string { return s.State })},
	{title: "ADDRESS", spare: 8, text: func(s *Server) string { return s.Address }, compare: by(func(s *Server) string { return s.Address })},
	{title: "ZONE", spare: 4, text: func(s *Server) string { return cmp.Or(s.Zone, "-") }, compare: by(func(s *Server) string { return s.Zone }),
		some: func(s *Server) bool { return s.Zone != "" }},
	{title: "WEIGHT", number: true, spare: 5, text: func(s *Server) string { return strconv.Itoa(s.Weight) }, compare: by(func(s *Server) int { return s.Weight }),
		some: func(s *Server) bool { return s.Weight > 1 }},
	{title: "PRIMARY", number: true, spare: 10, text: func(s *Server) string { return strconv.Itoa(s.Primary) }, compare: by(func(s *Server) int { return s.Primary })},
	{title: "BACKUP", number: true, spare: 11, text: func(s *Server) string { return strconv.Itoa(s.Backup) }, compare: by(func(s *Server) int { return s.Backup })},
	{title: "KEYS", number: true, spare: 2, text: func(s *Server) string { return strconv.FormatUint(s.Keys, 10) }, compare: by(func(s *Server) uint64 { return s.Keys })},
	{title: "BYTES", number: true, spare: 3, text: func(s *Server) string { return s.Size }, compare: by(func(s *Server) uint64 { return s.Bytes })},
	{title: "OPS/S", number: true, spare: 1, text: opsText, compare: by(ops)},
	{title: "P50", number: true, spare: 7, text: func(s *Server) string { return within(s.Work.P50) }, compare: by(func(s *Server) time.Duration { return s.Work.P50 })},
	{title: "P99", number: true, spare: 6, text: func(s *Server) string { return within(s.Work.P99) }, compare: by(func(s *Server) time.Duration { return s.Work.P99 })},
	{title: "HEARTBEAT", number: true, spare: 12, text: func(s *Server) string { return silence(s.Silent) }, compare: by(func(s *Server) time.Duration { return s.Silent })},
	{title: "COPYING", spare: 2, text: func(s *Server) string { return cmp.Or(s.Copying.Text, "-") }, compare: by(func(s *Server) int { return -s.Copying.Left })},
}

func ops(s *Server) float64 {
	if !s.Work.Known {
		return -1
	}
	return s.Work.PerSecond
}

func opsText(s *Server) string {
	if !s.Work.Known {
		return "-"
	}
	return strconv.FormatFloat(s.Work.PerSecond, 'f', 0, 64)
}

// within is a bound of times; a dash: none is known.
func within(d time.Duration) string {
	switch {
	case d <= 0:
		return "-"
	case d < time.Millisecond:
		return fmt.Sprintf("≤%dµs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("≤%.1fms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("≤%.1fs", d.Seconds())
}

func silence(d time.Duration) string {
	if d < 0 {
		return "never"
	}
	return ago(d)
}

// ago is how long ago something was, to what does not change all the time.
func ago(d time.Duration) string {
	if d < time.Second {
		return "now"
	}
	return d.Truncate(time.Second).String() + " ago"
}

// table is what the servers are shown as: columns that fit, rows in order.
type table struct {
	columns []*column
	widths  []int
	servers []*Server // sorted
}

const (
	gap      = 2 // columns between two
	stateMax = 22
)

// shown are the columns that these servers need.
func shown(servers []Server) []*column {
	var all []*column
	for i := range columns {
		c := &columns[i]
		if c.some == nil || slices.ContainsFunc(servers, func(s Server) bool { return c.some(&s) }) {
			all = append(all, c)
		}
	}
	return all
}

// lay makes the table for a width: what can be spared first is left out until it fits. The column to sort by stays.
func lay(servers []Server, sort string, down bool, width int) table {
	t := table{columns: shown(servers)}
	for i := range servers {
		t.servers = append(t.servers, &servers[i])
	}
	for _, c := range t.columns {
		w := ansi.StringWidth(c.title) + 1 // for the mark of the order
		for _, s := range t.servers {
			w = max(w, ansi.StringWidth(clean(c.text(s))))
		}
		if c.title == "STATE" {
			w = min(w, max(stateMax, width/5))
		}
		t.widths = append(t.widths, w)
	}
	for t.width() > width && t.drop(sort) {
	}
	t.sort(sort, down)
	return t
}

// width is how wide it is, with the mark of the cursor.
func (t *table) width() int {
	n := gap * len(t.columns)
	for _, w := range t.widths {
		n += w
	}
	return n
}

// drop leaves out a column.
func (t *table) drop(sort string) bool {
	worst := -1
	for i, c := range t.columns {
		if c.spare > 0 && c.title != sort && (worst < 0 || c.spare > t.columns[worst].spare) {
			worst = i
		}
	}
	if worst < 0 {
		return false
	}
	t.columns, t.widths = slices.Delete(t.columns, worst, worst+1), slices.Delete(t.widths, worst, worst+1)
	return true
}

func (t *table) sort(title string, down bool) {
	at := slices.IndexFunc(t.columns, func(c *column) bool { return c.title == title })
	if at < 0 {
		at = 0
	}
	slices.SortStableFunc(t.servers, func(a, b *Server) int {
		order := t.columns[at].compare(a, b)
		if down {
			order = -order
		}
		return cmp.Or(order, cmp.Compare(a.Number, b.Number))
	})
}

// head is the line of titles, with a mark at the column that they are sorted by.
func (t *table) head(sort string, down bool) string {
	texts := make([]string, len(t.columns))
	for i, c := range t.columns {
		texts[i] = c.title
		if c.title == sort && down {
			texts[i] += "▼"
		} else if c.title == sort {
			texts[i] += "▲"
		}
	}
	return t.line(texts)
}

// cells are the texts of a server's row.
func (t *table) cells(s *Server) []string {
	texts := make([]string, len(t.columns))
	for i, c := range t.columns {
		texts[i] = clean(c.text(s))
	}
	return texts
}

// line aligns texts.
func (t *table) line(texts []string) string {
	var b strings.Builder
	for i, text := range texts {
		if i > 0 {
			b.WriteString(strings.Repeat(" ", gap))
		}
		text = ansi.Truncate(text, t.widths[i], "…")
		pad := strings.Repeat(" ", t.widths[i]-ansi.StringWidth(text))
		if t.columns[i].number {
			text = pad + text
		} else {
			text += pad
		}
		b.WriteString(text)
	}
	return strings.TrimRight(b.String(), " ")
}

// clean is a text that does nothing to a terminal but stand there.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, text)
}
