package wire

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
)

// pieces gives what it has in pieces of any length.
type pieces struct {
	rest []byte
	rng  *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(len(p.rest), 1+p.rng.IntN(40<<10))])
	p.rest = p.rest[n:]
	return n, nil
}

// TestOwn: arguments that were taken for keeps stay as they were while more is read,
// short and long ones, whatever comes behind them.
func TestOwn(t *testing.T) {
	for _, ahead := range []int{0, 64 << 10, 1 << 20} {
		rng := rand.New(rand.NewPCG(3, uint64(ahead)))
		var sent [][]byte
		var stream []byte
		for range 200 {
			arg := make([]byte, rng.IntN(1<<rng.IntN(18)))
			for i := range arg {
				arg[i] = byte(rng.Uint32())
			}
			sent = append(sent, arg)
			stream = AppendCommand(stream, []byte("FRAME"), arg)
		}
		limits := DefaultLimits
		limits.Ahead = ahead
		r := NewReader(&pieces{stream, rng}, limits)
		var got [][]byte
		for range sent {
			args, err := r.ReadCommand()
			if err != nil || len(args) != 2 {
				t.Fatalf("%d arguments, %v", len(args), err)
			}
			got = append(got, r.Own(args[1]))
		}
		for i := range sent {
			if !bytes.Equal(got[i], sent[i]) {
				t.Fatalf("argument %d of %d bytes has changed", i, len(sent[i]))
			}
		}
	}
}

// TestAhead: nobody who only announces a long argument makes the reader take room for
// more than Limits.Ahead.
func TestAhead(t *testing.T) {
	for _, ahead := range []int{0, 256 << 10} {
		limits := DefaultLimits
		limits.Ahead = ahead
		const sent = 2 * readBytesMin
		r := NewReader(io.MultiReader(bytes.NewReader([]byte("*2\r\n$5\r\nFRAME\r\n$16000000\r\n")), bytes.NewReader(make([]byte, sent))), limits)
		if _, err := r.ReadCommand(); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		if len(r.buf) > max(ahead, 2*sent) {
			t.Errorf("with %d ahead the reader took %d bytes", ahead, len(r.buf))
		}
	}
}
