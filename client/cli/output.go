package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// jsonVersion is the version field of every JSON object printed.
const jsonVersion = 1

type color string

const (
	red    color = "31"
	green  color = "32"
	yellow color = "33"
	bold   color = "1"
	dim    color = "2"
)

// paint colors text where w shows colors.
func (a *app) paint(w io.Writer, c color, text string) string {
	if !a.colored(w) {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// output is standard output. All that a command prints goes through it: it remembers the first
// write that failed, so that no command has to look, and none ends well after one.
type output struct {
	to     io.Writer
	failed func() // ends what the command does: nobody hears of it any more

	mu  sync.Mutex
	err error // of the first write that failed; guarded by mu
}

// Write fails for good once it has failed.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.to.Write(b)
	if err != nil {
		o.err = err
		o.failed()
	}
	return n, err
}

// Err is why the output is not whole, or nil.
func (o *output) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// outputLost tells that the output is not whole, and returns the exit code: that of the command,
// unless it did its work or was ended for this.
func (a *app) outputLost(ctx context.Context, lost, err error) int {
	text := fmt.Sprintf("standard output: %v", lost)
	code := exitOutput
	var silent silentExit
	switch {
	case err == nil:
		text += "; the command has done its work, but what it had to say is lost"
	case errors.As(err, &silent):
		code = silent.code
	case errors.Is(err, lost) || ctx.Err() == nil && a.exitCode(ctx, err) == exitUnknown:
		text += "; so the command was ended"
	default:
		text, code = err.Error()+"; "+text, a.exitCode(ctx, err)
	}
	a.tell("%s %s\n", a.paint(a.env.Stderr, red, "viewring:"), text)
	return code
}

// printf writes to standard output.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.env.Stdout, format, args...) }

// tell writes to standard error: what is not the answer, for people. An error there has nobody
// left to hear it.
func (a *app) tell(format string, args ...any) { fmt.Fprintf(a.env.Stderr, format, args...) }

// printJSON writes one object on one line.
func (a *app) printJSON(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // only our own types come here
	}
	fmt.Fprintf(a.env.Stdout, "%s\n", b)
}

// say prints a sentence for people, or the object with --json.
func (a *app) say(object map[string]any, format string, args ...any) {
	if !a.flags.json {
		a.printf(format+"\n", args...)
		return
	}
	object["version"] = jsonVersion
	a.printJSON(object)
}

// quoted returns a name as tables show it: plain when it reads well, otherwise
// as a Go string literal.
func quoted(name string) string {
	q := fmt.Sprintf("%q", name)
	if utf8.ValidString(name) && name != "" && q == `"`+name+`"` && !strings.ContainsAny(name, " \u00a0") {
		return name
	}
	return q
}

// table prints rows under a head, columns aligned; those whose head starts with
// ">" to the right. One that would be wider than a terminal has its columns closer together.
func (a *app) table(head []string, rows [][]string) {
	width := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(strings.TrimPrefix(cell, ">")))
		}
	}
	gap, total := "  ", 2*(len(head)-1)
	for _, w := range width {
		total += w
	}
	if total > columns {
		gap = " "
	}
	line := func(row []string) string {
		var b strings.Builder
		for i, cell := range row {
			cell = strings.TrimPrefix(cell, ">")
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if strings.HasPrefix(head[i], ">") {
				cell = pad + cell
			} else {
				cell += pad
			}
			if i > 0 {
				b.WriteString(gap)
			}
			b.WriteString(cell)
		}
		return strings.TrimRight(b.String(), " ")
	}
	a.printf("%s\n", a.paint(a.env.Stdout, bold, line(head)))
	for _, row := range rows {
		a.printf("%s\n", line(row))
	}
}

// size returns bytes as people read them.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1023.95 && i < len(units)-1 {
		f /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

// span returns a duration with the digits that matter.
func span(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return d.String()
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// count returns n with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
