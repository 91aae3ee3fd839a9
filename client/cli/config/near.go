package config

import (
	"fmt"
	"slices"
	"strings"
)

// meant is what a message says of a name that there is not, if one of names is like it, or has it
// as a part.
func meant(name string, names []string) string {
	name = plain(name)
	like := Near(name, names)
	if like == "" && len(name) >= 4 {
		names = slices.Sorted(slices.Values(names))
		if i := slices.IndexFunc(names, func(n string) bool { return strings.Contains(plain(n), name) }); i >= 0 {
			like = names[i]
		}
	}
	if like == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", like)
}

// Near returns which of names differs from another in a few letters only, or "".
func Near(name string, names []string) string {
	best, least := "", 3
	for _, n := range slices.Sorted(slices.Values(names)) {
		if d := distance(name, plain(n)); d < least && 2*d < len(name) {
			best, least = n, d
		}
	}
	return best
}

// distance is how many letters have to be put in, left out or changed (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
