package play

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"rsc.io/script"
)

// What a script may say, so that its check has an end.
const (
	stepsMax = 50_000 // lines played, and turns of loops
	rangeMax = 10_000 // values of A..B
)

// statement is a line of a script, or a loop over some.
type statement struct {
	number int // of the line
	text   string
	body   []statement // of a loop
	isLoop bool
}

// lineError is what is wrong with a line.
type lineError struct {
	file string
	line int
	in   string // the turns of the loops around it, as "n=3, s=s1"
	err  error
}

func (e *lineError) Error() string {
	text := e.err.Error()
	var command *script.CommandError
	if !errors.As(e.err, &command) {
		text = fmt.Sprintf("%s:%d: %s", e.file, e.line, strings.TrimPrefix(text, fmt.Sprintf("%s:%d: ", e.file, e.line)))
	}
	if e.in != "" {
		text += " (with " + e.in + ")"
	}
	return text
}

func (e *lineError) Unwrap() error { return e.err }

var (
	errNoEnd  = errors.New("the loop has no end: close it by a line 'end'")
	errNoLoop = errors.New("there is no loop that could end here")
	errAlone  = errors.New("'for' and 'end' begin a line, without ! and conditions")
	errSteps  = fmt.Errorf("the script has more than %d steps", stepsMax)
)

// parse reads a script into statements. It goes on after errors, so that it finds all.
func parse(file, text string) (program []statement, wrong []error) {
	var open []statement // loops that are not closed, the outermost first
	add := func(s statement) {
		if n := len(open); n > 0 {
			open[n-1].body = append(open[n-1].body, s)
			return
		}
		program = append(program, s)
	}
	lines := strings.Split(text, "\n")
	for n := 0; n < len(lines); n++ {
		s := statement{number: n + 1, text: lines[n]}
		for n+1 < len(lines) && continues(s.text) {
			n++
			s.text = strings.TrimSuffix(strings.TrimRight(s.text, " \t\r"), `\`) + strings.TrimSpace(lines[n])
		}
		first, rest, _ := strings.Cut(strings.TrimSpace(s.text), " ")
		switch first {
		case "for":
			s.isLoop = true
			open = append(open, s)
		case "end":
			if rest, _, _ = strings.Cut(rest, "#"); strings.TrimSpace(rest) != "" {
				wrong = append(wrong, &lineError{file: file, line: s.number, err: errors.New("usage: end")})
			}
			if len(open) == 0 {
				wrong = append(wrong, &lineError{file: file, line: s.number, err: errNoLoop})
				continue
			}
			last := open[len(open)-1]
			open = open[:len(open)-1]
			add(last)
		default:
			add(s)
		}
	}
	for _, s := range open {
		wrong = append(wrong, &lineError{file: file, line: s.number, err: errNoEnd})
	}
	return program, wrong
}

// continues says whether a line goes on in the next: it ends with a backslash, and is no comment.
func continues(line string) bool {
	return strings.HasSuffix(strings.TrimRight(line, " \t\r"), `\`) && !strings.HasPrefix(strings.TrimSpace(line), "#")
}

// runner goes through a program, line by line, by an engine.
type runner struct {
	file   string
	engine *script.Engine
	state  *script.State
	show   func(text string)                // called before each line, with what it says; may be nil
	each   func(l line) (line, error)       // what a line is played as; may be nil
	wrong  func(number int, err error) bool // reports whether to go on
	ended  *bool                            // the script has said 'stop'

	isHeader bool     // the line that is played begins a loop
	header   []string // what it was given
	turns    []string // of the loops, the outermost first
	steps    int
}

// run plays statements; false: it is over.
func (r *runner) run(program []statement) bool {
	for _, s := range program {
		if !r.step(s) || *r.ended {
			return false
		}
	}
	return true
}

func (r *runner) step(s statement) bool {
	if strings.HasPrefix(strings.TrimSpace(s.text), "#") {
		r.tell(s.text)
		return true
	}
	if r.steps++; r.steps > stepsMax {
		return r.fail(s.number, errSteps) && false
	}
	l, err := words(s.text, r.isKnown)
	if err == nil {
		err = r.unknown(l)
	}
	if err != nil {
		return r.fail(s.number, err)
	}
	if l.text == "" {
		return true
	}
	r.tell(s.text)
	if s.isLoop {
		return r.loop(s, l)
	}
	return r.do(s.number, l)
}

func (r *runner) tell(text string) {
	if r.show != nil {
		r.show(strings.TrimSpace(text))
	}
}

func (r *runner) isKnown(name string) bool {
	_, ok := r.state.LookupEnv(name)
	return ok
}

// unknown says which variable of a line nobody has set.
func (r *runner) unknown(l line) error {
	for _, name := range l.uses {
		if !r.isKnown(name) {
			return fmt.Errorf("there is no variable %s: set it before, as by 'let %s VALUE', or by --set %s=VALUE", name, name, name)
		}
	}
	return nil
}

// do plays one line.
func (r *runner) do(number int, l line) bool {
	if r.each != nil {
		var err error
		if l, err = r.each(l); err != nil {
			return r.fail(number, err)
		}
	}
	if err := r.execute(number, l.text); err != nil {
		return r.fail(number, err)
	}
	return true
}

// execute has the engine play a line, with its number.
func (r *runner) execute(number int, text string) error {
	return r.engine.Execute(r.state, r.file, bufio.NewReader(strings.NewReader(strings.Repeat("\n", number-1)+text)), io.Discard)
}

func (r *runner) fail(number int, err error) bool {
	return r.wrong(number, &lineError{file: r.file, line: number, in: strings.Join(r.turns, ", "), err: err})
}

// loop plays what is in a loop, once for each of its values.
func (r *runner) loop(s statement, l line) bool {
	r.isHeader = true
	err := r.execute(s.number, l.text)
	r.isHeader = false
	if err != nil {
		return r.fail(s.number, err)
	}
	variable := r.header[0]
	values, err := spread(r.header[2:])
	if err != nil {
		return r.fail(s.number, err)
	}
	defer func() { r.turns = r.turns[:len(r.turns)-1] }()
	r.turns = append(r.turns, "")
	for _, value := range values {
		if err := r.state.Setenv(variable, value); err != nil {
			return r.fail(s.number, err)
		}
		turn := variable + "=" + value
		r.turns[len(r.turns)-1] = turn
		r.tell(turn)
		if r.steps++; r.steps > stepsMax {
			return r.fail(s.number, errSteps) && false
		}
		if !r.run(s.body) {
			return false
		}
	}
	return true
}

// forVerb is 'for' to the engine, which puts values for variables. The loop itself is the runner's.
func (r *runner) forVerb(args []string) error {
	switch {
	case !r.isHeader:
		return errAlone
	case len(args) < 3 || args[1] != "in":
		return script.ErrUsage
	}
	if !name.MatchString(args[0]) {
		return badName(args[0])
	}
	r.header = args
	return nil
}

func badName(text string) error {
	return fmt.Errorf("%q is no name: it has letters, digits and _, and does not begin with a digit", text)
}

// interval matches A..B.
var interval = regexp.MustCompile(`^(-?\d{1,9})\.\.(-?\d{1,9})$`)

// spread makes the values of a loop of what it was given: words, lists of words, and A..B.
func spread(args []string) (values []string, err error) {
	for _, word := range strings.Fields(strings.Join(args, " ")) {
		m := interval.FindStringSubmatch(word)
		if m == nil {
			values = append(values, word)
			continue
		}
		from, _ := strconv.Atoi(m[1]) // digits, and few
		to, _ := strconv.Atoi(m[2])
		step := 1
		if to < from {
			step = -1
		}
		if (to-from)*step >= rangeMax {
			return nil, fmt.Errorf("%s has more than %d values", word, rangeMax)
		}
		for n := from; n != to+step; n += step {
			values = append(values, strconv.Itoa(n))
		}
	}
	return values, nil
}
