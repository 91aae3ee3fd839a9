package cli

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// posix reads words as a POSIX shell does: quotes, backslashes, comments, variables.
func posix() *syntax.Parser { return syntax.NewParser(syntax.Variant(syntax.LangPOSIX)) }

// shellWords splits a line into words. A variable is put in as it is, within its word; one that is not set is an
// error. more says that the line goes on: a quote is open, or a backslash is last.
func shellWords(text string, getenv func(string) string) (words []string, more bool, err error) {
	if n := len(text) - len(strings.TrimRight(text, `\`)); n%2 == 1 {
		return nil, true, nil
	}
	var failed error
	err = posix().Words(strings.NewReader(text), func(w *syntax.Word) bool {
		var word string
		if word, failed = plainWord(w.Parts, false, getenv); failed == nil {
			words = append(words, word)
		}
		return failed == nil
	})
	switch {
	case failed != nil:
		return nil, false, failed
	case err != nil && (syntax.IsIncomplete(err) || strings.Contains(err.Error(), "without closing quote")):
		return nil, true, nil
	case err != nil:
		return nil, false, fmt.Errorf("column %w", err)
	}
	return words, false, nil
}

// plainWord is what the parts of a word are together.
func plainWord(parts []syntax.WordPart, quoted bool, getenv func(string) string) (string, error) {
	var b strings.Builder
	for _, part := range parts {
		switch x := part.(type) {
		case *syntax.Lit:
			b.WriteString(unescaped(x.Value, quoted))
		case *syntax.SglQuoted:
			b.WriteString(x.Value)
		case *syntax.DblQuoted:
			text, err := plainWord(x.Parts, true, getenv)
			if err != nil {
				return "", err
			}
			b.WriteString(text)
		case *syntax.ParamExp:
			simple := syntax.ParamExp{Dollar: x.Dollar, Rbrace: x.Rbrace, Short: x.Short, Param: x.Param}
			if *x != simple || !syntax.ValidName(x.Param.Value) {
				return "", errors.New("of variables there are $NAME and ${NAME} alone; quote a $ that is none: '$'")
			}
			value := getenv(x.Param.Value)
			if value == "" {
				return "", fmt.Errorf("the variable $%s is not set; quote a $ that is none: '$'", x.Param.Value)
			}
			b.WriteString(value)
		default:
			return "", errors.New("there is no command substitution and no arithmetic here; quote a $ that is none: '$'")
		}
	}
	return b.String(), nil
}

// unescaped is text without the backslashes that quote. Within double quotes they quote few characters.
func unescaped(text string, quoted bool) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && (!quoted || strings.IndexByte("$`\"\\\n", text[i+1]) >= 0) {
			if i++; text[i] == '\n' {
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// shellQuoted is a word as it can be typed.
func shellQuoted(word string) string {
	quoted, err := syntax.Quote(word, syntax.LangPOSIX)
	if err != nil { // control characters, which POSIX has no notation for
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return quoted
}

// lastWord is where the last word of a line begins, which may be empty.
func lastWord(line string) (at int) {
	var quote rune
	escaped := false
	for i, r := range line {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == ' ' || r == '\t':
			at = i + 1
		}
	}
	return at
}

// begunWord is what is typed of a word, whose quote may be open.
func begunWord(raw string, getenv func(string) string) string {
	for _, close := range []string{"", "'", `"`} {
		if words, more, err := shellWords(raw+close, getenv); err == nil && !more && len(words) == 1 {
			return words[0]
		}
	}
	return raw
}
