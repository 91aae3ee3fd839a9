package faults

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"viewring/tests/harness"
)

// httpFront is a front that is killed again and again.
type httpFront struct {
	t    *testing.T
	s    *harness.Shell
	addr string
	d    *harness.Daemon
}

func (f *httpFront) start() {
	f.t.Helper()
	f.d = f.s.Start("http", "--listen", f.addr)
	harness.Eventually(f.t, "the front serves", func() bool { status, _ := f.ask("GET", "/?health", nil); return status == 200 })
}

// ask makes a request; status 0: there was no answer.
func (f *httpFront) ask(method, path string, body []byte) (status int, got []byte) {
	r, err := http.NewRequest(method, "http://"+f.addr+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil
	}
	r.Close = true
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	if got, err = io.ReadAll(res.Body); err != nil {
		return 0, nil
	}
	return res.StatusCode, got
}

// TestHTTPKilled kills a front in the middle of puts, of new files and in the place of old ones: nothing of them is seen, and
// with VIEWRING_SLOW=1 nothing of them is left on any server's disk.
func TestHTTPKilled(t *testing.T) {
	t.Parallel()
	rounds := 2
	if harness.IsSlow() {
		rounds = 8
	}
	c := harness.NewCluster(t, harness.Config{Servers: 3, Direct: true, LeaderFlags: []string{"--partitions", "16"},
		ServerFlags: []string{"--file-grace", "2s", "--upload-grace", "6s", "--chunk-sweep", "2s"}})
	f := &httpFront{t: t, s: harness.NewShell(t, c.Leader.Addr), addr: harness.FreeAddr(t)}
	f.start()
	old := bytes.Repeat([]byte("old"), 700_000)
	if status, _ := f.ask("PUT", "/d/old", old); status != 201 {
		t.Fatal(status)
	}
	for round := range rounds {
		var conns []net.Conn
		for _, path := range []string{"/d/old", fmt.Sprint("/d/new", round)} {
			for _, chunked := range []bool{true, false} {
				nc, err := net.Dial("tcp", f.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				conns = append(conns, nc)
				part := bytes.Repeat([]byte("new"), 1<<20) // some chunks of it have been stored when the last of it is taken
				head := fmt.Sprintf("Content-Length: %d\r\n\r\n", 2*len(part))
				if chunked {
					head = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", 2*len(part))
				}
				if _, err := fmt.Fprintf(nc, "PUT %s HTTP/1.1\r\nHost: localhost\r\n%s%s", path, head, part); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = f.d.Cmd.Process.Kill() // it may have ended
		<-f.d.Done
		for _, nc := range conns {
			if answer, _ := io.ReadAll(nc); len(answer) > 0 { // a reset, mostly
				t.Errorf("half a file is answered: %.100q", answer)
			}
		}
		f.start()
		if status, got := f.ask("GET", "/d/old", nil); status != 200 || !bytes.Equal(got, old) {
			t.Fatalf("round %d: the old file: %d, %d bytes", round, status, len(got))
		}
		if status, got := f.ask("GET", fmt.Sprint("/d/new", round), nil); status != 404 {
			t.Fatalf("round %d: the new file: %d, %d bytes", round, status, len(got))
		}
		if status, got := f.ask("GET", "/d/?list", nil); status != 200 || bytes.Count(got, []byte(`"path":"/d/`)) != 1 {
			t.Fatalf("round %d: %s", round, got)
		}
	}
	if !harness.IsSlow() {
		return
	}
	if status, _ := f.ask("DELETE", "/d/", nil); status != 204 {
		t.Fatal(status)
	}
	r := &filesRun{t: t, c: c}
	harness.Eventually(t, "no server knows of contents that nothing names", r.tidied)
	for _, n := range c.Servers {
		n.Kill()
	}
	for _, n := range c.Servers {
		checkEmpty(t, n)
	}
}
