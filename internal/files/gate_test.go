package files

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
)

// Clients leave a third of the descriptors, and peers half of that.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		limit, descriptor int
		want              Verdict
	}{
		{64, 42, Everybody}, {64, 43, Peers}, {64, 53, Peers}, {64, 54, Nobody}, {64, 63, Nobody},
		{100_000, 99_487, Everybody}, {100_000, 99_488, Peers}, {100_000, 99_744, Nobody},
		{0, 1 << 20, Everybody},
	} {
		if got := (Gate{c.limit}).judge(c.descriptor); got != c.want {
			t.Errorf("of %d descriptors, %d is for %v, not %v", c.limit, c.descriptor, got, c.want)
		}
	}
}

// The lowest free descriptor grows with what is open, and a connection knows its own.
func TestInUse(t *testing.T) {
	if Limit() == 0 {
		t.Skip("this system does not tell")
	}
	before := InUse()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if fd := Of(nc); fd < before {
		t.Errorf("the connection has descriptor %d, the lowest free one was %d", fd, before)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if now := InUse(); now <= before {
		t.Errorf("%d in use, before there were more files %d", now, before)
	}
}

func TestCompare(t *testing.T) {
	var b bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&b, nil))
	Gate{1 << 20}.Compare(logger, "server", 10_000)
	if b.Len() > 0 {
		t.Errorf("of a limit that is high enough: %s", b.String())
	}
	Gate{1024}.Compare(logger, "server", 10_000)
	if s := b.String(); !strings.Contains(s, "ulimit -n") || !strings.Contains(s, "descriptors=1024") {
		t.Errorf("of one that is not: %s", s)
	}
}
