package web

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"viewring/tests/harness"
)

// TestLittleRoom: while a client that does not read has the memory for large files, others get theirs, page by page, and small
// ones are put.
func TestLittleRoom(t *testing.T) {
	t.Parallel()
	url := ready(t, func(o *Options) { o.Bounds.Bodies, o.Bounds.WriteTimeout = 8<<20, 10*time.Minute })
	large, other := pattern(1, 20<<20), pattern(2, 3<<20+1)
	want(t, 201, "PUT", url+"/room/large", string(large))
	want(t, 201, "PUT", url+"/room/other", string(other))
	res, err := http.Get(url + "/room/large")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	head := make([]byte, 1)
	if _, err := io.ReadFull(res.Body, head); err != nil { // it has its room
		t.Fatal(err)
	}
	if a := want(t, 200, "GET", url+"/room/other", ""); a.body != string(other) {
		t.Errorf("%d bytes", len(a.body))
	}
	if a := want(t, 206, "GET", url+"/room/other", "", "Range", "bytes=100-2000000"); a.body != string(other[100:2000001]) {
		t.Errorf("%d bytes", len(a.body))
	}
	want(t, 201, "PUT", url+"/room/small", "small")
	want(t, 200, "GET", url+"/room/small", "")
	rest, err := io.ReadAll(res.Body)
	if got := append(head, rest...); err != nil || !bytes.Equal(got, large) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	want(t, 204, "PUT", url+"/room/other", string(other)) // there is room again
}

// TestSlowPuts: while puts of any length, whose bytes do not come, have the memory for large files, directories are listed, and small
// files are put and read.
func TestSlowPuts(t *testing.T) {
	url := ready(t, func(o *Options) { o.Bounds.Bodies = 16 << 20 })
	want(t, 201, "PUT", url+"/slow/file", "there")
	for i := range 2 {
		begun(t, url, "PUT", fmt.Sprint("/slow/", i), "", 6<<20)
	}
	want(t, 207, "PROPFIND", url+"/slow/", "", "Depth", "1")
	want(t, 200, "GET", url+"/slow/", "")
	want(t, 200, "GET", url+"/slow/file", "")
	want(t, 204, "PUT", url+"/slow/file", "small")
}

// TestDelayed: the last piece is held until it is known to be right.
func TestDelayed(t *testing.T) {
	var b bytes.Buffer
	d := &delayed{w: &b}
	for _, piece := range []string{"one", "two", "three"} {
		if _, err := d.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != "onetwo" {
		t.Errorf("%q", &b)
	}
	if err := d.flush(); err != nil || b.String() != "onetwothree" {
		t.Errorf("%q, %v", &b, err)
	}
}

// TestSlowUpload: an upload that comes too slowly goes on while there is room, and is ended once another one waits for
// the room that it has; one that comes in time stays.
func TestSlowUpload(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	url := ready(t, func(o *Options) {
		o.Bounds.Bodies, o.Bounds.ReadRate, o.Bounds.ReadTimeout = 9<<20*4/3, 1<<40, 10*time.Minute
	})
	send, body := io.Pipe()
	slow := make(chan *http.Response, 1)
	go func() {
		req, _ := http.NewRequest("PUT", url+"/uploads/slow", send) // the arguments are sound
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			res = nil
		}
		slow <- res
	}()
	if _, err := body.Write(make([]byte, 4<<10)); err != nil { // it has its room, or will have
		t.Fatal(err)
	}
	for tries := 0; ; tries++ { // the slow one may come to the room after the first of them
		if tries == 50 {
			t.Fatal("the slow one keeps the room")
		}
		ask(t, "PUT", url+"/uploads/quick", string(pattern(1, 9<<20)))
		select {
		case res := <-slow:
			if res != nil && res.StatusCode != 408 {
				t.Errorf("the slow one is answered %s", res.Status)
			}
			want(t, 204, "PUT", url+"/uploads/quick", string(pattern(1, 9<<20)))
			want(t, 404, "GET", url+"/uploads/slow", "")
			return
		default:
		}
	}
}

// TestEarlyAnswer: an answer that does not need the body is not held up by a client that stands still in it.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	url := ready(t, func(o *Options) { o.Bounds.ReadTimeout = time.Hour })
	want(t, 201, "PUT", url+"/early/file", "x")
	rest, body := io.Pipe()
	defer body.Close()
	go body.Write(make([]byte, 4<<10)) // it may be cut off
	req, err := http.NewRequestWithContext(t.Context(), "PUT", url+"/early", rest)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 409 {
		t.Errorf("a file over a directory: %s", res.Status)
	}
}
