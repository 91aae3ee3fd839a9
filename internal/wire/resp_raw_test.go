package wire

import (
	"bytes"
	"testing"
	"testing/iotest"
)

// FuzzReadRaw checks that whatever ReadValue reads ReadRaw passes on whole, and no
// byte more.
func FuzzReadRaw(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nGET\r\n:1\r\n-ERR x\r\n$-1\r\n*-1\r\n"))
	f.Add([]byte("%1\r\n+a\r\n|1\r\n+k\r\n+v\r\n_\r\n"))
	f.Add([]byte("=7\r\ntxt:abc\r\n#t\r\n,inf\r\n>1\r\n(1\r\n"))
	f.Add([]byte("*1000000000\r\n$99999999\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		values, raws := NewReader(bytes.NewReader(in), testLimits), NewReader(iotest.OneByteReader(bytes.NewReader(in)), testLimits)
		for {
			v, err := values.ReadValue()
			raw, rawErr := raws.ReadRaw()
			if err != nil {
				return
			}
			if rawErr != nil {
				t.Fatalf("%q: read %s, but raw: %v", in, normal(v), rawErr)
			}
			r := NewReader(bytes.NewReader(raw), DefaultLimits)
			again, err := r.ReadValue()
			if err != nil || normal(again) != normal(v) || r.Buffered() > 0 {
				t.Fatalf("%q: read %s; of %q %s, %v, %d bytes left", in, normal(v), raw, normal(again), err, r.Buffered())
			}
		}
	})
}
