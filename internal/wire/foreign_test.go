package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"viewring/internal/quiet"
)

// What follows the first line of HTTP, in one packet with it.
const httpRest = "Content-Type: text/plain\r\n\r\nFLUSHALL\r\n*1\r\n$8\r\nFLUSHALL\r\n"

// Nothing of what is no RESP is handed out as a command, in however many pieces it
// comes.
func TestForeign(t *testing.T) {
	var foreign []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "FLUSHALL", "get"} {
		for _, target := range []string{"/", "/a/b?c=d%20e", "http://127.0.0.1/", "*", `/"`, "/'", "/" + strings.Repeat("x", 200)} {
			for _, end := range []string{" HTTP/1.1\r\n", " HTTP/1.0\n", " http/3 \r\n", "\tHTTP/1.1\r\n"} {
				foreign = append(foreign, method+" "+target+end)
			}
		}
	}
	foreign = append(foreign, "CONNECT 127.0.0.1:1 HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\r\n\r\nGET / HTTP/1.1\r\n",
		"POST\r\n", "post /\r\n", "POST / HTTP/1.1 \x00\r\n", "  POST /\r\n", "Host: x\r\n", "hOsT:x\r\n", "\tHost:\r\n",
		"*1\r\n$4\r\nPOST\r\n", "*2\r\n$5\r\nhost:\r\n$1\r\nx\r\n",
		"\x16\x03\x01\x02\x00\x01\x00", "\x16", "\x00\x03\x00\x08", "\x80\x2e\x01", "\xff\xfb\x1f", "\x1b[A\r\n", "\x7f\r\n")
	for _, in := range foreign {
		for name, src := range map[string]io.Reader{
			"whole": strings.NewReader(in + httpRest), "bytes": iotest.OneByteReader(strings.NewReader(in + httpRest)),
		} {
			got, err := readCommands(src, testLimits)
			if len(got) > 0 || !errors.Is(err, ErrForeign) || !errors.Is(err, ErrProtocol) {
				t.Errorf("%s %.60q: %q, %v", name, in, got, err)
			}
		}
	}
}

// A line of HTTP that comes later ends the stream where it is.
func TestForeignLater(t *testing.T) {
	for _, line := range []string{"Host: x\r\n", "POST / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n", "\x16\x03\x01"} {
		got, err := readCommands(strings.NewReader("PING\r\n*1\r\n$4\r\nPING\r\n"+line+httpRest), testLimits)
		if want := [][]string{{"PING"}, {"PING"}}; !reflect.DeepEqual(got, want) || !errors.Is(err, ErrForeign) {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
}

// What only looks like it is a command.
func TestNotForeign(t *testing.T) {
	for _, in := range []string{
		"GET key\r\n", "GET /\r\n", "GET HTTP/1.1x\r\n", "SET k HTTP/\r\n", "SET k HTTP/x.1\r\n", "SET k 'HTTP/1.1'\r\n", "HTTP/1.1\r\n",
		"SET host: x\r\n", "SET k \xff\x16\r\n", "HOST x\r\n", "PO ST\r\n", "\"PING\"\r\n", "\t PING\n", "+OK\r\n",
		"*3\r\n$3\r\nSET\r\n$4\r\nPOST\r\n$8\r\nHTTP/1.1\r\n", "*2\r\n$3\r\nGET\r\n$22\r\nPOST / HTTP/1.1\r\nHost:\r\n",
		"*1\r\n$5\r\nPOSTS\r\n", "*1\r\n$4\r\nHOST\r\n", "*1\r\n$1\r\n\x16\r\n", "*1\r\n$0\r\n\r\n",
	} {
		got, err := readCommands(strings.NewReader(in), testLimits)
		if len(got) != 1 || err != io.EOF {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

// What is not encrypted where it should be is told from a connection that broke.
func TestUnencrypted(t *testing.T) {
	for in, foreign := range map[string]bool{"POST / HTTP/1.1\r\n": true, "*1\r\n$4\r\nPING\r\n": true, "": false, "PO": false} {
		client, server := net.Pipe()
		go func() {
			_, _ = io.WriteString(client, in)
			_ = client.Close()
		}()
		_, err := NewReader(tls.Server(server, &tls.Config{}), DefaultLimits).ReadCommand()
		if err == nil || errors.Is(err, ErrForeign) != foreign {
			t.Errorf("%q: %v", in, err)
		}
		_ = server.Close()
	}
}

// However many come, they fill no log.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var s Strangers
		logger := slog.New(slog.NewTextHandler(&out, nil))
		note := func(n int, err error) (lines int) {
			out.Reset()
			for range n {
				s.Note(logger, &net.TCPAddr{}, err)
			}
			return strings.Count(out.String(), "\n")
		}
		if n := note(10, io.EOF) + note(10, ErrProtocol) + note(1, nil); n != 0 {
			t.Errorf("%d lines on others", n)
		}
		if n := note(1000, errHTTP); n != 1 {
			t.Errorf("%d lines on a thousand", n)
		}
		<-time.After(quiet.Every)
		if n := note(2, errTLS); n != 1 || !strings.Contains(out.String(), "others_since=999") {
			t.Errorf("%d lines later: %s", n, out.String())
		}
	})
}
