package redis

// Match reports whether a name matches a pattern as in KEYS: * any bytes, ? one,
// [abc], [a-z], [^a] one of a class, \ takes the next byte as it is. Where several *
// could take different shares only the last one is tried again, so it takes time in
// the product of the lengths at most, and no stack.
func Match(pattern, name string) bool {
	p, n := 0, 0
	star, tried := -1, 0 // after the last *, and where the name went on then
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			star, tried = p, n
			continue
		}
		if next, ok := matchByte(pattern, p, name[n]); ok {
			p, n = next, n+1
			continue
		}
		if star < 0 {
			return false
		}
		tried++
		p, n = star, tried
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchByte matches one byte with what stands at p, and returns where the pattern
// goes on.
func matchByte(pattern string, p int, c byte) (next int, ok bool) {
	if p >= len(pattern) {
		return p, false
	}
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return matchClass(pattern, p+1, c)
	case '\\':
		if p+1 < len(pattern) {
			p++
		}
	}
	return p + 1, pattern[p] == c
}

// matchClass matches a class whose first byte after the bracket is at p. One that
// is not closed ends with the pattern.
func matchClass(pattern string, p int, c byte) (next int, ok bool) {
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	for ; p < len(pattern) && pattern[p] != ']'; p++ {
		switch {
		case pattern[p] == '\\' && p+1 < len(pattern):
			p++
			ok = ok || pattern[p] == c
		case p+2 < len(pattern) && pattern[p+1] == '-':
			// Redis compares signed bytes.
			from, to := int8(pattern[p]), int8(pattern[p+2])
			ok = ok || min(from, to) <= int8(c) && int8(c) <= max(from, to)
			p += 2
		default:
			ok = ok || pattern[p] == c
		}
	}
	return min(p+1, len(pattern)), ok != not
}
