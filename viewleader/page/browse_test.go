package page_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"viewring/tests/fake/feed"
	"viewring/tests/harness"
	"viewring/viewleader/page"
)

// listed is what the page shows of a path.
type listed struct {
	Path, Text, Kind, Version string
	Bytes                     int64
	Attributes                [][2]string
	Children                  []struct{ Path, Text, Kind string }
	More                      bool
}

// TestPaths: nodes are told with what is in them, some of many, and with names as text.
func TestPaths(t *testing.T) {
	at := start(t, feed.New(3, 64), func(o *page.Options) { o.Files = feed.NewFiles(2000) })
	look := func(path string) (d listed) {
		t.Helper()
		res, body := ask(t, "GET", at+"/paths?path="+url.QueryEscape(path), nil)
		if err := json.Unmarshal([]byte(body), &struct {
			*listed
			Version int64
		}{listed: &d}); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%.100q: %s, %v: %.200s", path, res.Status, err, body)
		}
		return d
	}
	if d := look("/"); d.Kind != "directory" || len(d.Children) != 3 || d.Children[1].Path != "/hostile" || d.Children[1].Kind != "directory" || d.More {
		t.Errorf("the root: %+v", d)
	}
	if d := look("/many"); len(d.Children) != 500 || !d.More || d.Children[0].Kind != "records" || d.Children[1].Path != "/many/00001" {
		t.Errorf("many: %d, more %v", len(d.Children), d.More)
	}
	d := look("/hostile")
	if len(d.Children) != len(feed.Hostile) {
		t.Errorf("%d children", len(d.Children))
	}
	for _, c := range d.Children {
		if strings.ContainsRune(c.Text, '\u202e') || len(c.Text) > 130 || len(c.Text) < 5 {
			t.Errorf("%q is shown", c.Text)
		}
		one := look(c.Path)
		if one.Path != c.Path || one.Bytes != 7 || one.Kind != "file" || len(one.Attributes) != 2 || one.Attributes[1] != [2]string{"<b>", "<script>alert(2)</script>"} {
			t.Errorf("%+v", one)
		}
	}
	for path, want := range map[string]int{"": http.StatusBadRequest, "/absent": http.StatusNotFound, strings.Repeat("x", 4097): http.StatusBadRequest} {
		if res, body := ask(t, "GET", at+"/paths?path="+path, nil); res.StatusCode != want || len(body) > 300 {
			t.Errorf("%.20q: %s %s", path, res.Status, body)
		}
	}
}

// TestShifts: what comes into acting sets and goes from them is told as events, those that follow as one.
func TestShifts(t *testing.T) {
	cluster := feed.New(4, 64)
	at := start(t, cluster, nil)
	s := listen(t, at)
	told := func(want ...string) {
		t.Helper()
		harness.Eventually(t, strings.Join(want, ", "), func() bool {
			name, data := s.next(t)
			if name != "events" {
				return false
			}
			var all []struct{ Kind, Detail string }
			if err := json.Unmarshal([]byte(data), &all); err != nil {
				t.Fatal(err)
			}
			left := want
			for _, e := range all {
				if len(left) > 0 && strings.HasPrefix(e.Kind+": "+e.Detail, left[0]) {
					left = left[1:]
				}
			}
			return len(left) == 0
		})
	}
	told("joined: ")
	cluster.Join()
	told("joined: 10.0.0.1", "joined: 10.0.9.1")
	cluster.HandOver(1)
	told("handoff: 1 change of an acting set: s5 into 1, s")
	cluster.HandOver(9)
	told("joined: 10.0.9.1", "handoff: 10 changes of acting sets: s5 into 10, s")
	cluster.Down(5)
	told("handoff: 10 changes", "eject: 10 changes of acting sets: s5 out of 10")
}
