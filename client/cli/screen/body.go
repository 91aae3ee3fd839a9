package screen

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// bodyHeight is how many lines of details or of help there is room for.
func (m *model) bodyHeight() int { return max(1, m.height-len(m.topLines())-3) }

// bodyLines is the screen of a server, or of the help.
func (m *model) bodyLines() []string {
	top := m.topLines()
	title := "Keys"
	if m.page == opened {
		title = "Server " + clean(m.cursor)
		if m.paused {
			title += "  PAUSED"
		}
	}
	if m.height < len(top)+4 { // something of what was asked for is to be seen
		top = top[:max(0, min(len(top), m.height-3))]
	}
	lines := append(top, "", m.paint(bold, title))
	body := m.body()
	room := max(0, m.height-len(lines)-1)
	last := min(m.scroll+room, len(body))
	lines = append(lines, body[min(m.scroll, last):last]...)
	for range m.height - 1 - len(lines) {
		lines = append(lines, "")
	}
	hint := []string{m.hint()}
	if len(body) > room {
		hint = m.placed(hint, fmt.Sprintf("%d–%d of %d", m.scroll+1, last, len(body)))
	}
	return append(lines, hint...)
}

// body is all of it.
func (m *model) body() []string {
	if m.page == help {
		return helpLines
	}
	s := m.server(m.cursor)
	if s == nil {
		return []string{"it is not a member any more"}
	}
	lines := m.detailLines(s.Details)
	switch {
	case m.answered != s.Name && m.paused:
		lines = append(lines, "", m.paint(dim, "the server itself is not asked while this is paused"))
	case m.answered != s.Name:
		lines = append(lines, "", m.paint(dim, "the server itself is asked …"))
	case m.refused != nil:
		lines = append(lines, "", m.paint(yellow, "! the server itself does not answer: "+clean(m.refused.Error())))
	default:
		lines = append(append(lines, "", m.paint(dim, "what the server itself says")), m.detailLines(m.details)...)
	}
	return lines
}

// detailLines are details, their names aligned and their texts broken where they are too long.
func (m *model) detailLines(details []Detail) []string {
	names := 0
	for i := range details {
		names = max(names, ansi.StringWidth(details[i].Name))
	}
	var lines []string
	for i := range details {
		d := &details[i]
		name := d.Name + strings.Repeat(" ", names-ansi.StringWidth(d.Name)) + "  "
		code := plain
		if d.Tone != Good {
			code = toneColors[d.Tone]
		}
		for _, part := range strings.Split(ansi.Wrap(clean(d.Text), max(10, m.width-names-2), " "), "\n") {
			lines = append(lines, m.paint(dim, name)+m.paint(code, part))
			name = strings.Repeat(" ", names+2)
		}
	}
	return lines
}

// helpLines say what the keys do, and what the columns are. They fit 80 columns.
var helpLines = strings.Split(`↑ ↓ k j          move; PgUp PgDn Home End too
enter            open the server: all that it tells of itself
esc              back
s → / S ←        sort by the next or the column before
1 … 9            sort by the first, second, … column; once more turns it around
r                turn the order around
p space          pause: nothing is asked or changes until you press it again
Ctrl-L           draw all anew
Ctrl-Z           stop the command; fg brings it back
? h              these keys
q Ctrl-C         quit

KEYS, BYTES      all copies that the server holds
OPS/S            requests of clients a second, between the last two readings
P50, P99         half, and 99 of 100, of the requests of the last 10 s took at
                 most so long in the server; bounds are powers of two
COPYING          copies of partitions that it still has to make
HEARTBEAT        when the view leader heard of it last`, "\n")
