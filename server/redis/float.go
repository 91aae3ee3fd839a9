package redis

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// longDouble is a number as INCRBYFLOAT computes with: the 80 bits of x86's long
// double, which Redis uses: 64 of mantissa, 15 of exponent.
type longDouble struct{ big.Float }

const (
	longDoubleBits    = 64
	longDoubleExpMax  = 16384    // from 2 to this it is infinite
	longDoubleExpMin  = -16445   // below half the least number, which is zero
	longDoubleTextMax = 5 * 1024 // bytes; Redis reads no more
	exponentMax       = 1 << 20  // no mantissa of so few bytes brings such a number back into range
)

// The numbers of C's strtold, apart from infinity.
var (
	decimalForm = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?$`)
	hexForm     = regexp.MustCompile(`^[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP]([+-]?[0-9]+))?$`)
)

// parseLongDouble reads what strtold reads to the end and within its range.
func parseLongDouble(b []byte) (d longDouble, ok bool) {
	if len(b) >= longDoubleTextMax {
		return d, false
	}
	s := string(b)
	d.SetPrec(longDoubleBits)
	switch strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(s, "+"), "-")) {
	case "inf", "infinity":
		d.SetInf(s[0] == '-')
		return d, !strings.HasPrefix(s, "+-")
	}
	base, parts := 10, decimalForm.FindStringSubmatch(s)
	if parts == nil {
		base, parts = 0, hexForm.FindStringSubmatch(s)
	}
	switch {
	case parts == nil:
		return d, false
	case strings.Trim(parts[1], "0.") == "":
		return d, true // whatever the exponent
	case parts[2] != "":
		if n, err := strconv.Atoi(parts[2]); err != nil || max(n, -n) > exponentMax {
			return d, false
		}
	}
	if _, _, err := d.Parse(s, base); err != nil {
		return d, false
	}
	exponent := d.MantExp(nil)
	return d, longDoubleExpMin <= exponent && exponent <= longDoubleExpMax
}

// plus adds; not ok when the sum is no finite number.
func (d longDouble) plus(e longDouble) (sum longDouble, ok bool) {
	if d.IsInf() || e.IsInf() {
		return sum, false
	}
	sum.SetPrec(longDoubleBits).Add(&d.Float, &e.Float)
	return sum, sum.MantExp(nil) <= longDoubleExpMax
}

// String writes 17 decimals without the zeros at their end, as Redis does.
func (d longDouble) String() string {
	s := strings.TrimRight(d.Text('f', 17), "0")
	s = strings.TrimSuffix(s, ".")
	if s == "-0" {
		return "0"
	}
	return s
}
