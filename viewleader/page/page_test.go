package page_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"viewring/client/admin"
	"viewring/client/cli"
	"viewring/internal/secure"
	"viewring/tests/fake/feed"
	"viewring/tests/harness"
	"viewring/viewleader/page"
)

// start serves a page of a cluster that is not real, and returns its address.
func start(t *testing.T, source *feed.Feed, change func(*page.Options)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts := page.Options{Listener: l, Source: source, Describe: cli.Describe, Explain: cli.Explain, Every: 20 * time.Millisecond}
	if change != nil {
		change(&opts)
	}
	p := page.Start(t.Context(), opts)
	t.Cleanup(p.Close)
	return "http://" + p.Addr()
}

// ask asks for something, changed by change.
func ask(t *testing.T, method, url string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(q)
	}
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// told is a part of a state.
type told struct {
	At         int64
	Error      string
	Status     map[string]any
	Partitions string
	Locks      []struct{ Name string }
}

func (s *told) sentence() string {
	if s.Status == nil {
		return ""
	}
	return s.Status["safety"].(map[string]any)["text"].(string)
}

func stateOf(t *testing.T, url string) (s told) {
	t.Helper()
	_, body := ask(t, "GET", url+"/state", nil)
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatalf("%v: %.200s", err, body)
	}
	return s
}

// asJSON is v as who reads its JSON has it.
func asJSON(t *testing.T, v any) (m map[string]any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestState: the page has what query_servers --json says, and the state of every partition.
func TestState(t *testing.T) {
	cluster := feed.New(100, 4096)
	cluster.Lock(admin.Lock{Name: "l\n", Holders: []admin.LockHolder{{Client: "me", Token: 7}}})
	url := start(t, cluster, nil)
	for _, tt := range []struct {
		change func()
		starts string
		counts map[string]int
	}{
		{func() {}, "safe: ", map[string]int{"w": 4096}},
		{func() { cluster.Down(3) }, "at risk: ", map[string]int{"f": 1}},
		{cluster.Silence, "not known: ", nil},
	} {
		tt.change()
		var s told
		harness.Eventually(t, "the page says "+tt.starts, func() bool {
			s = stateOf(t, url)
			return strings.HasPrefix(s.sentence(), tt.starts)
		})
		st, err := cluster.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := asJSON(t, cli.Describe(st)); !reflect.DeepEqual(s.Status, want) {
			t.Errorf("%s: the page's status is not that of query_servers", tt.starts)
		}
		for letter, least := range tt.counts {
			if n := strings.Count(s.Partitions, letter); n < least {
				t.Errorf("%s: %d partitions are %s, not %d", tt.starts, n, letter, least)
			}
		}
		if len(s.Partitions) != 4096 || len(s.Locks) != 1 || s.Locks[0].Name != `"l\n"` {
			t.Errorf("%s: %d partitions, locks %v", tt.starts, len(s.Partitions), s.Locks)
		}
	}
}

// TestFails: what can't be known is told as that, with the reason.
func TestFails(t *testing.T) {
	cluster := feed.New(3, 64)
	url := start(t, cluster, nil)
	if s := stateOf(t, url); s.Error != "" || s.At == 0 {
		t.Errorf("at first: %+v", s)
	}
	cluster.Fail(errors.New("nobody answers"))
	harness.Eventually(t, "the page has the reason", func() bool { return stateOf(t, url).Error == "nobody answers" })
	if res, body := ask(t, "GET", url+"/explain?key=a", nil); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "nobody answers") {
		t.Errorf("explain: %s %s", res.Status, body)
	}
	cluster.Fail(nil)
	harness.Eventually(t, "the page knows again", func() bool { return stateOf(t, url).Error == "" })
}

// TestExplain: it is what explain --json says.
func TestExplain(t *testing.T) {
	cluster := feed.New(5, 128)
	url := start(t, cluster, nil)
	st, err := cluster.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := cli.Explain(st, "a {b} c")
	if err != nil {
		t.Fatal(err)
	}
	res, body := ask(t, "GET", url+"/explain?key=a+%7Bb%7D+c", nil)
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil || !reflect.DeepEqual(got, asJSON(t, want)) {
		t.Errorf("%s: %v %s", res.Status, err, body)
	}
	for _, path := range []string{"/explain", "/explain?key=", "/explain?key=" + strings.Repeat("k", 5000)} {
		if res, _ := ask(t, "GET", url+path, nil); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%.20s: %s", path, res.Status)
		}
	}
}

// TestChangesNothing: only what reads is served, to whom it is for, and browsers load nothing from elsewhere.
func TestChangesNothing(t *testing.T) {
	url := start(t, feed.New(3, 64), nil)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"} {
		if res, _ := ask(t, method, url+"/", nil); res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s", method, res.Status)
		}
	}
	for _, path := range []string{"/", "/page.css", "/page.js", "/ring.js", "/tables.js", "/paths.js", "/icon.svg", "/state", "/nothing"} {
		res, body := ask(t, "GET", url+path, nil)
		if csp := res.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; style-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if strings.Contains(body, "https://") || path != "/icon.svg" && path != "/ring.js" && strings.Contains(body, "http://") {
			t.Errorf("%s names an address elsewhere", path)
		}
		if (res.StatusCode == http.StatusOK) != (path != "/nothing") {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	res, _ := ask(t, "GET", url+"/page.js", nil)
	if again, body := ask(t, "GET", url+"/page.js", func(q *http.Request) { q.Header.Set("If-None-Match", res.Header.Get("ETag")) }); again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("the same again: %s", again.Status)
	}
	for host, want := range map[string]int{"evil.example": http.StatusMisdirectedRequest, "localhost:1": http.StatusOK, "127.0.0.1": http.StatusOK} {
		if res, _ := ask(t, "GET", url+"/", func(q *http.Request) { q.Host = host }); res.StatusCode != want {
			t.Errorf("host %s: %s", host, res.Status)
		}
	}
}

// TestPassword: nothing is served without the password.
func TestPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := secure.Load(secure.Files{Password: file})
	if err != nil {
		t.Fatal(err)
	}
	url := start(t, feed.New(3, 64), func(o *page.Options) { o.Secure = config })
	for _, path := range []string{"/", "/page.js", "/state", "/live", "/explain?key=a", "/paths?path=/", "/nothing"} {
		for name, change := range map[string]func(*http.Request){"none": nil, "wrong": func(q *http.Request) { q.SetBasicAuth("me", "secret") }, "token": func(q *http.Request) { q.Header.Set("Authorization", "Bearer x") }} {
			if res, body := ask(t, "GET", url+path, change); res.StatusCode != http.StatusUnauthorized || res.Header.Get("WWW-Authenticate") == "" || strings.Contains(body, "partition") {
				t.Errorf("%s, password %s: %s", path, name, res.Status)
			}
		}
	}
	for name, change := range map[string]func(*http.Request){"basic": func(q *http.Request) { q.SetBasicAuth("anybody", "s3cret") }, "bearer": func(q *http.Request) { q.Header.Set("Authorization", "Bearer s3cret") }} {
		if res, _ := ask(t, "GET", url+"/state", change); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", name, res.Status)
		}
	}
}

// stream is a client of live.
type stream struct {
	res   *http.Response
	lines *bufio.Reader
}

func listen(t *testing.T, url string) *stream {
	t.Helper()
	res, err := http.Get(url + "/live")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return &stream{res, bufio.NewReaderSize(res.Body, 1<<20)}
}

// next reads one event.
func (s *stream) next(t *testing.T) (name, data string) {
	t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "":
			return name, data
		case strings.HasPrefix(line, "event: "):
			name = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			data = line[len("data: "):]
		default:
			t.Fatalf("%.80q", line)
		}
	}
}

// TestLive: who looks is told all at first, then a state every time, and what changes when it does.
func TestLive(t *testing.T) {
	cluster := feed.New(5, 128)
	s := listen(t, start(t, cluster, nil))
	for _, want := range []string{"placing", "events", "state", "state", "state"} {
		if name, _ := s.next(t); name != want {
			t.Fatalf("%s, not %s", name, want)
		}
	}
	cluster.Down(2)
	changed := map[string]bool{}
	for !changed["placing"] || !changed["events"] || !changed["state"] {
		name, data := s.next(t)
		if name != "state" || strings.Contains(data, "at risk: ") {
			changed[name] = true
		}
	}
}

// TestBounded: the cluster is asked once for all who look, and not while nobody does; too many are sent away.
func TestBounded(t *testing.T) {
	cluster := feed.New(3, 64)
	url := start(t, cluster, nil)
	var all []*stream
	for range 48 {
		s := listen(t, url)
		if s.res.StatusCode != http.StatusOK {
			t.Fatal(s.res.Status)
		}
		all = append(all, s)
	}
	before := cluster.Asked()
	for _, s := range all {
		for range 6 {
			s.next(t)
		}
	}
	if asked := cluster.Asked() - before; asked > 6*len(all)/2 {
		t.Errorf("asked %d times for %d states of each of %d", asked, 6, len(all))
	}
	if res, _ := ask(t, "GET", url+"/live", nil); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %s", res.Status)
	}
	for _, s := range all {
		s.res.Body.Close()
	}
	harness.Eventually(t, "there is room again", func() bool {
		res, _ := ask(t, "GET", url+"/state", nil)
		return res.StatusCode == http.StatusOK
	})
	harness.Eventually(t, "nobody is asked any more", func() bool {
		was := cluster.Asked()
		harness.Pass(t, 200*time.Millisecond)
		return cluster.Asked() == was
	})
}
