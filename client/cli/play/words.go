package play

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// line is a line of a script, in the words of the engine that plays it.
type line struct {
	text  string   // with single quotes alone, and ${NAME} for each variable
	first string   // its first word
	uses  []string // the variables that it names
}

// name matches what a variable, a table and a loop's variable are called.
var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// variable matches a variable's use at the beginning of a text: ${ANYTHING}, $1, $NAME or $NAME.FIELD.
var variable = regexp.MustCompile(`^\$(?:\{([^}']*)\}|([0-9])|([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?))`)

var (
	errQuote = errors.New("a quote is not closed")
	errBrace = errors.New("${ is not closed: write ${NAME}")
)

// words reads a line. Single quotes keep all that is in them as it is, double quotes all but variables; # begins a
// comment. Of $NAME.FIELD the field belongs to the name if there is a variable that is called so.
func words(text string, known func(name string) bool) (line, error) {
	var l line
	var out quoter
	quote, isFirst := byte(0), true
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == quote && quote == '\'' && strings.HasPrefix(text[i:], "''"):
			out.literal("'")
			i += 2
		case c == quote:
			quote = 0
			i++
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
			out.literal("")
			i++
		case c == '$' && quote != '\'':
			use, length, err := reference(text[i:], known)
			if err != nil {
				return line{}, err
			}
			if use == "" {
				out.literal("$")
				i++
				continue
			}
			l.uses = append(l.uses, use)
			out.plain("${"+use+"}", false)
			i += length
		case quote == 0 && c == '#':
			i = len(text)
		default:
			if strings.ContainsRune(" \t\r", rune(c)) && quote == 0 && isFirst && strings.TrimSpace(out.String()) != "" {
				l.first, isFirst = strings.TrimSpace(out.String()), false
			}
			out.plain(text[i:i+1], quote != 0)
			i++
		}
	}
	if quote != 0 {
		return line{}, errQuote
	}
	l.text = strings.TrimSpace(out.close())
	if isFirst {
		l.first = l.text
	}
	return l, nil
}

// reference reads a variable's use, and how long it is. "": the dollar stands for itself.
func reference(text string, known func(string) bool) (use string, length int, err error) {
	m := variable.FindStringSubmatch(text)
	switch {
	case m == nil && strings.HasPrefix(text, "${"):
		return "", 0, errBrace
	case m == nil:
		return "", 0, nil
	}
	use, length = m[1]+m[2]+m[3], len(m[0])
	if use == "" {
		return "", 0, fmt.Errorf("${} names no variable")
	}
	if base, field, ok := strings.Cut(m[3], "."); ok && !known(m[3]) && known(base) {
		return base, length - len(field) - 1, nil // as in $NAME.csv
	}
	return use, length, nil
}

// quoter writes words for the engine, which knows single quotes alone and takes two of them for one.
type quoter struct {
	strings.Builder
	open bool
}

// plain writes what stands for itself, quoted or as it is.
func (q *quoter) plain(text string, quoted bool) {
	if quoted {
		q.literal(text)
		return
	}
	q.close()
	q.WriteString(text)
}

func (q *quoter) literal(text string) {
	if !q.open {
		q.WriteByte('\'')
		q.open = true
	}
	q.WriteString(strings.ReplaceAll(text, "'", "''"))
}

func (q *quoter) close() string {
	if q.open {
		q.WriteByte('\'')
		q.open = false
	}
	return q.String()
}
