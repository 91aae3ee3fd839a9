package screen

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// Codes of SGR. Nothing is told by a color alone.
const (
	plain  = ""
	bold   = "1"
	dim    = "2"
	red    = "1;31"
	green  = "1;32"
	yellow = "1;33"
)

var toneColors = [...]string{Good: green, Worrying: yellow, Bad: red}

// toneMarks begin what has a tone.
var toneMarks = [...]string{Good: "✓", Worrying: "!", Bad: "✗"}

// paint colors a text, where that is wanted.
func (m *model) paint(code, text string) string {
	if !m.color || code == plain || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// View implements tea.Model.
func (m model) View() tea.View {
	v := tea.NewView(m.text())
	v.AltScreen = true
	v.WindowTitle = "viewring: " + strings.SplitN(m.sentence(), ":", 2)[0]
	return v
}

// block is some lines of the screen. What has the highest spare number goes first where it is too low.
type block struct {
	lines []string
	spare int
}

// text is the screen: at most its height, each line at most its width.
func (m *model) text() string {
	if m.width <= 0 || m.height <= 0 {
		return ""
	}
	var lines []string
	if m.page == list {
		lines = m.listLines()
	} else {
		lines = m.bodyLines()
	}
	lines = lines[:min(len(lines), m.height)]
	for i, l := range lines {
		lines[i] = ansi.Truncate(l, m.width, "…")
	}
	return strings.Join(lines, "\n")
}

// sentence is the top line: whether the data is safe.
func (m *model) sentence() string {
	switch {
	case m.reading == nil && m.failed != nil:
		return "not known: " + m.why()
	case m.reading == nil:
		return "not known yet: the view leader is asked"
	case m.old():
		return "not known: " + m.why()
	}
	return clean(m.reading.Sentence)
}

func (m *model) tone() Tone {
	if m.reading == nil || m.old() {
		return Worrying
	}
	return m.reading.Tone
}

// top is the sentence, on as many lines as it takes, up to three.
func (m *model) topLines() []string {
	lines := m.wrap(toneMarks[m.tone()]+" "+m.sentence(), 3)
	for i, l := range lines {
		lines[i] = m.paint(toneColors[m.tone()], l)
	}
	return lines
}

// wrap breaks a text into lines that fit. What does not go on max lines is cut.
func (m *model) wrap(text string, most int) []string {
	lines := strings.Split(ansi.Wrap(text, max(1, m.width-2), " "), "\n")
	for i := range lines {
		if i > 0 {
			lines[i] = "  " + lines[i]
		}
	}
	if len(lines) > most {
		lines = lines[:most]
		lines[most-1] = ansi.Truncate(lines[most-1], max(1, m.width-1), "") + "…"
	}
	return lines
}

// goings is the line below the sentence: how rebalancing goes, or what was known last.
func (m *model) goings() []string {
	switch {
	case m.reading == nil:
		return nil
	case m.old():
		return m.wrap(fmt.Sprintf("  last known %s: %s; %s", ago(m.now.Sub(m.reading.At)), clean(m.reading.Sentence), clean(m.reading.Rebalancing)), 2)
	}
	return m.wrap("  "+clean(m.reading.Rebalancing), 2)
}

func (m *model) facts() []string {
	if m.reading == nil {
		return nil
	}
	text := "  " + clean(m.reading.Facts) + "  at " + m.reading.At.Format(time.TimeOnly)
	if m.old() {
		text += ", " + ago(m.now.Sub(m.reading.At))
	}
	line := m.paint(dim, text)
	if m.paused {
		line += "  " + m.paint(yellow, "PAUSED")
	}
	return []string{line}
}

func (m *model) leaders() []string {
	if m.reading == nil || len(m.reading.Leaders) == 0 {
		return nil
	}
	title := "view leader"
	if len(m.reading.Leaders) > 1 {
		title += "s"
	}
	var parts []string
	for _, l := range m.reading.Leaders {
		text := strings.TrimSpace(l.Name + " " + l.Role)
		if !l.Up {
			text += " SILENT"
		}
		parts = append(parts, clean(text))
	}
	lines := m.wrap("  "+title+": "+strings.Join(parts, "; "), 3)
	for i, l := range lines {
		lines[i] = m.paint(dim, l)
	}
	return lines
}

const problemsMax = 4

func (m *model) problems() []string {
	if m.reading == nil {
		return nil
	}
	var lines []string
	all := m.reading.Problems
	for i, p := range all {
		if i == problemsMax-1 && len(all) > problemsMax {
			return append(lines, m.paint(yellow, fmt.Sprintf("! and %d more problems", len(all)-i)))
		}
		for _, l := range m.wrap("! "+clean(p), 2) {
			lines = append(lines, m.paint(yellow, l))
		}
	}
	return lines
}

// hint is the lowest line: the keys.
func (m *model) hint() string {
	keys := "↑↓ move  enter open  s sort  r reverse  p pause  ? help  q quit"
	switch {
	case m.page == help:
		keys = "↑↓ scroll  esc back  q quit"
	case m.page == opened:
		keys = "↑↓ scroll  esc back  p pause  ? help  q quit"
	}
	return m.paint(dim, ansi.Truncate(keys, m.width, "…"))
}

// rowsMin is how many rows are shown, if there are so many, before other things are.
const rowsMin = 3

// listBlocks are what is above and below the rows, as far as the height has room for it.
func (m *model) listBlocks() (above, below []block) {
	above = []block{{m.topLines(), 0}, {m.goings(), 3}, {m.facts(), 5}, {m.leaders(), 6}, {[]string{""}, 8}, {[]string{""}, 1}}
	below = []block{{m.problems(), 7}, {[]string{""}, 8}, {[]string{m.hint()}, 4}}
	least := 0
	if m.reading != nil {
		least = min(rowsMin, len(m.reading.Servers))
	}
	for spare := 8; spare > 0 && length(above)+length(below)+least > m.height; spare-- {
		for _, blocks := range [][]block{above, below} {
			for i := range blocks {
				if blocks[i].spare == spare {
					blocks[i].lines = nil
				}
			}
		}
	}
	return above, below
}

func length(blocks []block) (n int) {
	for _, b := range blocks {
		n += len(b.lines)
	}
	return n
}

// rows is how many rows of servers there is room for.
func (m *model) rows() int {
	above, below := m.listBlocks()
	return max(1, m.height-length(above)-length(below))
}

func (m *model) listLines() []string {
	above, below := m.listBlocks()
	t := m.table()
	rows := max(1, m.height-length(above)-length(below))
	if head := &above[len(above)-1]; head.lines != nil {
		head.lines = []string{m.paint(bold, "  "+t.head(m.sort, m.down))}
	}
	var lines []string
	for _, b := range above {
		lines = append(lines, b.lines...)
	}
	last := min(m.top+rows, len(t.servers))
	for _, s := range t.servers[min(m.top, last):last] {
		lines = append(lines, m.row(&t, s))
	}
	if m.reading != nil && len(t.servers) == 0 {
		lines = append(lines, "  no server has joined yet")
	}
	if n := len(t.servers); n > rows {
		below[len(below)-1].lines = m.placed(below[len(below)-1].lines, fmt.Sprintf("%d–%d of %d", m.top+1, last, n))
	}
	for range m.height - len(lines) - length(below) {
		lines = append(lines, "")
	}
	for _, b := range below {
		lines = append(lines, b.lines...)
	}
	return lines
}

// placed adds to the lowest line which rows are shown, at its right end.
func (m *model) placed(lines []string, text string) []string {
	if len(lines) == 0 || m.width < 2*len(text) {
		return lines
	}
	line := ansi.Truncate(lines[0], m.width-ansi.StringWidth(text)-2, "…")
	pad := m.width - ansi.StringWidth(line) - ansi.StringWidth(text)
	return []string{line + strings.Repeat(" ", pad) + m.paint(bold, text)}
}

// row is a server's.
func (m *model) row(t *table, s *Server) string {
	line := t.line(t.cells(s))
	switch {
	case s.Name == m.cursor:
		return m.paint(bold, "› "+line)
	case m.old():
		return m.paint(dim, "  "+line)
	case s.Tone != Good:
		return m.paint(toneColors[s.Tone], "  "+line)
	}
	return "  " + line
}
