package wire

import (
	"fmt"
)

// readInline reads a command of one line, as typed into telnet: words between
// blanks, with "double" (escapes \n \r \t \a \b \xHH) or 'single' quotes around
// what contains blanks, as in Redis. The words are unquoted in place.
func (r *Reader) readInline() ([][]byte, error) {
	end, err := r.newline(0, r.limits.LineBytesMax)
	if err != nil {
		return nil, err
	}
	line := r.buf[r.r : r.r+end]
	r.r += end + 1
	if isHTTP(line) {
		return nil, errHTTP
	}
	r.args = r.args[:0]
	for {
		line = trimBlanks(line)
		if len(line) == 0 {
			return r.args, nil
		}
		if len(r.args) == r.limits.ArgsMax {
			return nil, fmt.Errorf("%w: over %d arguments", ErrTooLarge, r.limits.ArgsMax)
		}
		word, rest, ok := inlineWord(line)
		if !ok {
			return nil, fmt.Errorf("%w: unbalanced quotes in request", ErrProtocol)
		}
		r.args = append(r.args, word)
		line = rest
	}
}

func isBlank(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' || c == 0 }

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	return b
}

// inlineWord takes a word off the front of line. What it writes is never longer
// than what it has read, so it writes over it.
func inlineWord(line []byte) (word, rest []byte, ok bool) {
	if c := line[0]; c != '"' && c != '\'' {
		for i, c := range line {
			if isBlank(c) {
				return line[:i:i], line[i:], true
			}
		}
		return line[:len(line):len(line)], nil, true
	}
	quote, to := line[0], 0
	for i := 1; i < len(line); i++ {
		c := line[i]
		switch {
		case c == quote:
			rest = line[i+1:]
			return line[:to:to], rest, len(rest) == 0 || isBlank(rest[0])
		case c == '\\' && i+1 < len(line) && (quote == '"' || line[i+1] == '\''):
			var used int
			c, used = unescape(line[i+1:], quote)
			i += used
		}
		line[to] = c
		to++
	}
	return nil, nil, false
}

// unescape reads what follows a backslash.
func unescape(b []byte, quote byte) (c byte, used int) {
	if quote == '\'' {
		return b[0], 1
	}
	switch b[0] {
	case 'n':
		return '\n', 1
	case 'r':
		return '\r', 1
	case 't':
		return '\t', 1
	case 'a':
		return '\a', 1
	case 'b':
		return '\b', 1
	case 'x':
		if len(b) >= 3 {
			hi, okHi := hexDigit(b[1])
			lo, okLo := hexDigit(b[2])
			if okHi && okLo {
				return hi<<4 | lo, 3
			}
		}
	}
	return b[0], 1
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
