package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// testLimits are small enough to be reached by a test.
var testLimits = Limits{BulkBytesMax: 1 << 10, LineBytesMax: 256, ArgsMax: 16, TotalBytesMax: 4 << 10, DepthMax: 3}

func words(args [][]byte) []string {
	var out []string
	for _, a := range args {
		out = append(out, string(a))
	}
	return out
}

// readCommands reads to the end and returns what came before the error.
func readCommands(src io.Reader, limits Limits) (commands [][]string, err error) {
	r := NewReader(src, limits)
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return commands, err
		}
		commands = append(commands, words(args))
	}
}

func TestReadCommand(t *testing.T) {
	big := strings.Repeat("x", 1<<10)
	tests := []struct {
		in   string
		want [][]string
		err  error
	}{
		{"", nil, io.EOF},
		{"*1\r\n$4\r\nPING\r\n", [][]string{{"PING"}}, io.EOF},
		{"*2\r\n$3\r\nGET\r\n$0\r\n\r\n*1\r\n$1\r\na\r\n", [][]string{{"GET", ""}, {"a"}}, io.EOF},
		{"*2\r\n$1\r\n\n\r\n$4\r\n\r\n\r\n\r\n", [][]string{{"\n", "\r\n\r\n"}}, io.EOF},
		{"*0\r\n*-1\r\n\r\n\n  \nPING\n", [][]string{{"PING"}}, io.EOF},
		{"SET  a\tb\r\n", [][]string{{"SET", "a", "b"}}, io.EOF},
		{`SET "a b\x41\n\"" 'c \' \n' ""` + "\r\n", [][]string{{"SET", "a bA\n\"", `c ' \n`, ""}}, io.EOF},
		{"*1\r\n$1024\r\n" + big + "\r\n", [][]string{{big}}, io.EOF},
		{`SET "a`, nil, io.ErrUnexpectedEOF},
		{"SET \"a\n", nil, ErrProtocol},
		{"SET \"a\"b\n", nil, ErrProtocol},
		{"SET '\\\n", nil, ErrProtocol},
		{"*1\r\n$1025\r\n", nil, ErrTooLarge},
		{"*17\r\n", nil, ErrTooLarge},
		{"*9223372036854775807\r\n", nil, ErrTooLarge},
		{"*9223372036854775808\r\n", nil, ErrProtocol},
		{"*1\r\n$9223372036854775807\r\n", nil, ErrTooLarge},
		{"*5\r\n" + strings.Repeat("$1024\r\n"+big+"\r\n", 5), nil, ErrTooLarge},
		{strings.Repeat("x", 257), nil, ErrTooLarge},
		{strings.Repeat("x ", 17) + "\n", nil, ErrTooLarge},
		{"*" + strings.Repeat("0", 40), nil, ErrProtocol},
		{"*1\n$4\r\nPING\r\n", nil, ErrProtocol},
		{"*1\r\n$-1\r\n", nil, ErrProtocol},
		{"*1\r\n:1\r\n", nil, ErrProtocol},
		{"*1\r\n$4\r\nPINGxx", nil, ErrProtocol},
		{"*x\r\n", nil, ErrProtocol},
		{"*\r\n", nil, ErrProtocol},
		{"*1\r\n$\r\n", nil, ErrProtocol},
		{"*1\r\n$4\r\nPIN", nil, io.ErrUnexpectedEOF},
		{"*1\r\n$4\r\nPING\r", nil, io.ErrUnexpectedEOF},
		{"*1", nil, io.ErrUnexpectedEOF},
		{"*1\r\n", nil, io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole":  func(r io.Reader) io.Reader { return r },
			"bytes":  iotest.OneByteReader,
			"halves": iotest.HalfReader,
			"eof":    iotest.DataErrReader,
		} {
			got, err := readCommands(wrap(strings.NewReader(tt.in)), testLimits)
			if !reflect.DeepEqual(got, tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("%s %.60q: got %.80q, %v; want %.80q, %v", name, tt.in, got, err, tt.want, tt.err)
			}
		}
	}
}

func TestReadCommandAgainAfterTimeout(t *testing.T) {
	src := iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("*1\r\n$4\r\nPING\r\n")))
	r := NewReader(src, testLimits)
	if _, err := r.ReadCommand(); !errors.Is(err, iotest.ErrTimeout) {
		t.Fatalf("first try: %v", err)
	}
	if args, err := r.ReadCommand(); err != nil || string(args[0]) != "PING" {
		t.Fatalf("second try: %q, %v", args, err)
	}
}

func TestReaderBuffered(t *testing.T) {
	r := NewReader(strings.NewReader("PING\nPING\nP"), testLimits)
	for _, want := range []int{6, 1} {
		if _, err := r.ReadCommand(); err != nil || r.Buffered() != want {
			t.Fatalf("%d bytes buffered (%v), want %d", r.Buffered(), err, want)
		}
	}
}

func TestReadValue(t *testing.T) {
	bulk := func(s string) Value { return Value{Kind: KindBulk, Bytes: []byte(s)} }
	num := func(n int64) Value { return Value{Kind: KindInt, Int: n} }
	text := func(k Kind, s string) Value { return Value{Kind: k, Bytes: []byte(s)} }
	tests := []struct {
		in   string
		want Value
		err  error
	}{
		{"+OK\r\n", text(KindSimple, "OK"), nil},
		{"-MOVED 1 a:1\r\n", text(KindError, "MOVED 1 a:1"), nil},
		{"!5\r\nERR x\r\n", text(KindError, "ERR x"), nil},
		{":-42\r\n", num(-42), nil},
		{":9223372036854775807\r\n", num(math.MaxInt64), nil},
		{":-9223372036854775808\r\n", num(math.MinInt64), nil},
		{":-9223372036854775809\r\n", Value{}, ErrProtocol},
		{"$2\r\na\r\n\r\n", Value{}, ErrProtocol},
		{"$3\r\na\r\n\r\n", bulk("a\r\n"), nil},
		{"$0\r\n\r\n", bulk(""), nil},
		{"$-1\r\n", Value{Kind: KindNil}, nil},
		{"*-1\r\n", Value{Kind: KindNil}, nil},
		{"_\r\n", Value{Kind: KindNil}, nil},
		{"#t\r\n", Value{Kind: KindBool, Int: 1}, nil},
		{"#f\r\n", Value{Kind: KindBool}, nil},
		{"#x\r\n", Value{}, ErrProtocol},
		{",1.5\r\n", text(KindDouble, "1.5"), nil},
		{"(123456789012345678901\r\n", text(KindBig, "123456789012345678901"), nil},
		{"=7\r\ntxt:abc\r\n", text(KindVerbatim, "abc"), nil},
		{"=3\r\nabc\r\n", Value{}, ErrProtocol},
		{"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", Value{Kind: KindArray, Array: []Value{bulk("a"), {Kind: KindArray, Array: []Value{num(1)}}}}, nil},
		{"%1\r\n+a\r\n:1\r\n", Value{Kind: KindMap, Array: []Value{text(KindSimple, "a"), num(1)}}, nil},
		{"~1\r\n:1\r\n", Value{Kind: KindSet, Array: []Value{num(1)}}, nil},
		{">1\r\n:1\r\n", Value{Kind: KindPush, Array: []Value{num(1)}}, nil},
		{"|1\r\n+k\r\n+v\r\n:7\r\n", num(7), nil},
		{"*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", Value{}, ErrTooLarge},
		{strings.Repeat("|0\r\n", 100), Value{}, ErrTooLarge},
		{"*1000000000\r\n", Value{}, ErrTooLarge},
		{"%9223372036854775807\r\n", Value{}, ErrTooLarge},
		{"*60\r\n" + strings.Repeat("$40\r\n"+strings.Repeat("x", 40)+"\r\n", 60), Value{}, ErrTooLarge},
		{"*2\r\n:1\r\n", Value{}, io.ErrUnexpectedEOF},
		{"$5\r\nab", Value{}, io.ErrUnexpectedEOF},
		{"$2\r\nab", Value{}, io.ErrUnexpectedEOF},
		{"*-2\r\n", Value{}, ErrProtocol},
		{"$-2\r\n", Value{}, ErrProtocol},
		{"_x\r\n", Value{}, ErrProtocol},
		{"?\r\n", Value{}, ErrProtocol},
		{"\r\n", Value{}, ErrProtocol},
		{"+" + strings.Repeat("x", 300), Value{}, ErrTooLarge},
		{"", Value{}, io.EOF},
	}
	for _, tt := range tests {
		for _, src := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
			got, err := NewReader(src, testLimits).ReadValue()
			if !errors.Is(err, tt.err) || err == nil && !reflect.DeepEqual(normal(got), normal(tt.want)) {
				t.Errorf("%.60q: got %v, %v; want %v, %v", tt.in, got, err, tt.want, tt.err)
			}
		}
	}
}

// normal makes empty and nil bytes the same.
func normal(v Value) string { return fmt.Sprintf("%c %d %q %v", v.Kind, v.Int, v.Bytes, v.Array) }

func TestLargeBulks(t *testing.T) {
	rnd := bytes.Repeat([]byte("0123456789abcdef!"), 3<<20/17)
	var stream bytes.Buffer
	w := NewWriter(&stream)
	for _, n := range []int{len(rnd), 1, writeBytesApart, bulkChunkBytes + 1, readBytesMin, len(rnd)} {
		w.WriteBulk(rnd[:n])
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	r := NewReader(iotest.HalfReader(&stream), DefaultLimits)
	for _, n := range []int{len(rnd), 1, writeBytesApart, bulkChunkBytes + 1, readBytesMin, len(rnd)} {
		v, err := r.ReadValue()
		if err != nil || !bytes.Equal(v.Bytes, rnd[:n]) {
			t.Fatalf("bulk of %d: %d bytes, %v", n, len(v.Bytes), err)
		}
	}
	stream.Reset()
	w.WriteCommand([]byte("SET"), rnd)
	w.WriteCommand([]byte("GET"))
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	r = NewReader(&stream, DefaultLimits)
	if args, err := r.ReadCommand(); err != nil || !bytes.Equal(args[1], rnd) {
		t.Fatalf("large command: %v", err)
	}
	if args, err := r.ReadCommand(); err != nil || string(args[0]) != "GET" || len(r.buf) > readBytesKeep {
		t.Fatalf("after a large command: %q, %v, buffer of %d", args, err, len(r.buf))
	}
}

// What a header announces must not be allocated before it arrives.
func TestAnnouncedIsNotAllocated(t *testing.T) {
	for _, in := range []string{
		"*2\r\n$3\r\nSET\r\n$33000000\r\nabc",
		"*65536\r\n$1\r\na\r\n",
		"$33000000\r\nabc",
		"*1000000\r\n:1\r\n",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := NewReader(strings.NewReader(in), DefaultLimits)
		if in[0] == '*' && in[len(in)-4] != ':' {
			_, _ = r.ReadCommand()
		} else {
			_, _ = r.ReadValue()
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 256<<10 {
			t.Errorf("%q: %d bytes allocated", in, got)
		}
	}
}

func TestWriter(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	w.WriteArray(2)
	w.WriteBulk([]byte("a\r\n"))
	w.WriteBulkString("")
	w.WriteSimple("O\r\nK")
	w.WriteError("ERR no\nyes")
	w.WriteInt(-7)
	w.WriteNil()
	w.WriteMap(1)
	w.SetRESP3(true)
	w.WriteNil()
	w.WriteMap(1)
	w.WriteCommand([]byte("PING"))
	if out.Len() != 0 {
		t.Errorf("%d bytes written before Flush", out.Len())
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "*2\r\n$3\r\na\r\n\r\n$0\r\n\r\n+O  K\r\n-ERR no yes\r\n:-7\r\n$-1\r\n*2\r\n_\r\n%1\r\n*1\r\n$4\r\nPING\r\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

type brokenWriter struct{ writes int }

func (b *brokenWriter) Write([]byte) (int, error) {
	b.writes++
	return 0, io.ErrClosedPipe
}

func TestWriterErrorSticks(t *testing.T) {
	dst := &brokenWriter{}
	w := NewWriter(dst)
	for range 3 {
		w.WriteBulk(make([]byte, 2*writeBytesFlush))
		if err := w.Flush(); !errors.Is(err, io.ErrClosedPipe) {
			t.Fatalf("Flush: %v", err)
		}
	}
	if dst.writes != 1 {
		t.Errorf("%d writes to a broken stream", dst.writes)
	}
}

func TestServerError(t *testing.T) {
	for text, want := range map[string]ServerError{
		"MOVED 12 a:1": {CodeMoved, "12 a:1"},
		"BUSY":         {CodeBusy, ""},
		"no such key":  {CodeErr, "no such key"},
		"":             {CodeErr, ""},
		" x":           {CodeErr, " x"},
		"Err x":        {CodeErr, "Err x"},
	} {
		if got := ParseServerError(text); *got != want {
			t.Errorf("%q: %+v", text, *got)
		}
	}
	err := fmt.Errorf("do: %w", Value{Kind: KindError, Bytes: []byte("BUSY full")}.Err())
	if !IsCode(err, CodeBusy) || IsCode(err, CodeErr) || IsCode(nil, CodeErr) {
		t.Errorf("IsCode of %v", err)
	}
}

func TestMoved(t *testing.T) {
	slot, addr, ok := ParseMoved(MovedText(16383, "[::1]:28600"))
	if !ok || slot != 16383 || addr != "[::1]:28600" {
		t.Errorf("%d %q %v", slot, addr, ok)
	}
	if slot, addr, ok := ParseMoved("7 a:1"); !ok || slot != 7 || addr != "a:1" {
		t.Errorf("without its word: %d %q %v", slot, addr, ok)
	}
	for _, bad := range []string{"", "MOVED", "MOVED 1", "MOVED 1 ", "MOVED 16384 a:1", "MOVED -1 a:1", "MOVED x a:1"} {
		if _, _, ok := ParseMoved(bad); ok {
			t.Errorf("%q parsed", bad)
		}
	}
}

// FuzzReadCommand checks that pieces read as the whole does, and that what was
// read can be written and read again.
func FuzzReadCommand(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n"))
	f.Add([]byte("SET \"a\\x41\" 'b'\n*1\r\n$-1\r\n"))
	f.Add([]byte("*3\r\n$1\r\n\r\n$9999999999"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\n\r\nFLUSHALL\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err := readCommands(bytes.NewReader(in), testLimits)
		pieces, err2 := readCommands(iotest.OneByteReader(bytes.NewReader(in)), testLimits)
		if !reflect.DeepEqual(whole, pieces) || err.Error() != err2.Error() {
			t.Fatalf("whole %q, %v; in pieces %q, %v", whole, err, pieces, err2)
		}
		if errors.Is(err, ErrForeign) && !errors.Is(err, ErrProtocol) {
			t.Fatalf("no answer can be given to %v", err)
		}
		var out []byte
		for _, c := range whole {
			args := make([][]byte, len(c))
			for i := range c {
				args[i] = []byte(c[i])
			}
			out = AppendCommand(out, args...)
		}
		again, err := readCommands(bytes.NewReader(out), DefaultLimits)
		if err != io.EOF || !reflect.DeepEqual(again, whole) {
			t.Fatalf("wrote %q, read %q, %v", whole, again, err)
		}
	})
}

// FuzzReadValue checks that pieces read as the whole does.
func FuzzReadValue(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nGET\r\n:1\r\n-ERR x\r\n"))
	f.Add([]byte("%1\r\n+a\r\n|1\r\n+k\r\n+v\r\n_\r\n"))
	f.Add([]byte("=7\r\ntxt:abc\r\n#t\r\n,inf\r\n>1\r\n(1\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		read := func(src io.Reader) (got []string, err error) {
			r := NewReader(src, testLimits)
			for {
				v, err := r.ReadValue()
				if err != nil {
					return got, err
				}
				got = append(got, normal(v))
			}
		}
		whole, err := read(bytes.NewReader(in))
		pieces, err2 := read(iotest.OneByteReader(bytes.NewReader(in)))
		if !reflect.DeepEqual(whole, pieces) || err.Error() != err2.Error() {
			t.Fatalf("whole %q, %v; in pieces %q, %v", whole, err, pieces, err2)
		}
		if errors.Is(err, ErrForeign) && !errors.Is(err, ErrProtocol) {
			t.Fatalf("no answer can be given to %v", err)
		}
	})
}

func BenchmarkReadCommand(b *testing.B) {
	one := AppendCommand(nil, []byte("VR.DO"), make([]byte, 1100))
	stream := bytes.Repeat(one, 1000)
	src := bytes.NewReader(stream)
	r := NewReader(src, DefaultLimits)
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.ReadCommand(); err != nil {
			src.Reset(stream)
		}
	}
}
