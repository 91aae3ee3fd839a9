package page

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"viewring/client/admin"
	"viewring/client/cli"
	"viewring/ring"
	"viewring/tests/fake/feed"
	"viewring/tests/harness"
	"viewring/viewleader/page"
)

// startFeed serves the page of a cluster that is not real, and returns its address.
func startFeed(t *testing.T, source *feed.Feed) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := page.Start(t.Context(), page.Options{Listener: l, Source: source, Files: feed.NewFiles(700), Describe: cli.Describe, Explain: cli.Explain})
	t.Cleanup(p.Close)
	return "http://" + p.Addr() + "/"
}

// TestLarge: a page of 100 servers and 4,096 partitions, at rest, with a dead server and in a rebalance, is
// readable in every look, and quick to draw.
func TestLarge(t *testing.T) {
	harness.Slow(t)
	browser := newBrowser(t)
	cluster := feed.New(100, 4096)
	now := time.Now()
	cluster.Lock(admin.Lock{Name: "jobs/nightly", Holders: []admin.LockHolder{{Client: "worker-1", Token: 41, Since: now.Add(-time.Minute)}}, Waiters: []admin.LockWaiter{{Client: "worker-2"}, {Client: "worker-3"}}},
		admin.Lock{Name: "config", Shared: true, Holders: []admin.LockHolder{{Client: "reader-a", Token: 39, Since: now}, {Client: "reader-b", Token: 40, Since: now}}})
	url := startFeed(t, cluster)
	for i, step := range []struct {
		name   string
		change func()
		want   string // of the sentence
	}{
		{"rest", func() {}, "safe: all 4096 partitions have all 3 copies"},
		{"dead", func() { cluster.Down(7) }, "at risk: "},
		{"rebalance", func() { cluster.Join(); cluster.HandOver(40) }, "at risk: "},
		{"silent", cluster.Silence, "not known: "},
	} {
		step.change()
		for _, l := range looks {
			p := open(t, browser, url+"#greeting", l)
			p.wait(fmt.Sprintf(`document.querySelector("#sentence").textContent.startsWith(%q)`, step.want))
			p.wait(`document.querySelector("#key-result").dataset.key === "greeting" && document.querySelectorAll("#ring .arc").length > 100`)
			if servers := value[int](p, `document.querySelectorAll("#servers tbody tr").length`); servers < 100 {
				t.Errorf("%s, %s: %d servers", step.name, l.name, servers)
			}
			if step.name == "rebalance" {
				p.wait(`[...document.querySelectorAll("#events .badge")].some((e) => e.textContent === "handoff") && document.querySelector("#timeline").getAttribute("aria-label").includes("1 handoff")`)
			}
			p.browse(map[string]string{"rest": "/hostile", "dead": "/many", "rebalance": feed.LongPath(), "silent": "/"}[step.name])
			p.check(step.name + ", " + l.name)
			p.isQuiet()
			if i == 0 {
				t.Logf("%s: a state is shown in %s ms", l.name, value[string](p, "document.body.dataset.frame"))
			}
			p.shoot(step.name + "-" + l.name)
			p.close()
		}
	}
}

// browse opens a path, and waits until it is shown.
func (p *tab) browse(path string) {
	p.t.Helper()
	value[string](p, fmt.Sprintf(`document.querySelector("#path").value = %s`, quote(path)))
	p.do(chromedp.Click(chromedp.CSS("#path-form button")))
	p.wait(`document.querySelector("#paths-result").dataset.path === ` + quote(path))
}

// quote is a text in JavaScript.
func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // texts can be encoded
	}
	return string(b)
}

// explained is a part of what explain --json says.
type explained struct {
	Hash, Slot, Partition int
	Acting, Targets, Text []string
	Walk                  []struct{ Server, Text string }
}

// TestCluster: with a cluster of real processes the page says what commands say, to who types a key and to
// who looks on while a server is killed.
func TestCluster(t *testing.T) {
	browser := newBrowser(t)
	at := harness.FreeAddr(t)
	c := harness.NewCluster(t, harness.Config{Servers: 4, Direct: true, LeaderFlags: []string{"--page", at}})
	s := harness.NewShell(t, c.Leader.Addr)
	p := open(t, browser, "http://"+at+"/", looks[0])
	p.wait(`document.querySelector("#verdict").dataset.level === "safe"`)
	if text, sentence := s.OK("query_servers"), p.text("#sentence"); !strings.Contains(text, sentence) {
		t.Errorf("the page says %q, query_servers:\n%s", sentence, text)
	}
	for _, key := range []string{"greeting", "cart:{7}:items", "ключ"} {
		var e explained
		if err := json.Unmarshal([]byte(s.OK("explain", key, "--json")), &e); err != nil {
			t.Fatal(err)
		}
		value[string](p, `document.querySelector("#key").value = ""`)
		p.do(chromedp.SendKeys(chromedp.CSS("#key"), key+"\r"))
		p.wait(fmt.Sprintf(`document.querySelector("#key-result").dataset.key === %q`, key))
		want := fmt.Sprintf("%d %d %d %s %s", e.Hash, e.Slot, e.Partition, strings.Join(e.Acting, ","), strings.Join(e.Targets, ","))
		got := value[string](p, `(({hash, slot, partition, acting, targets}) => [hash, slot, partition, acting, targets].join(" "))(document.querySelector("#key-result").dataset)`)
		if got != want {
			t.Errorf("%s: the page says %q, explain %q", key, got, want)
		}
		p.checkExplained(&e)
	}
	p.checkTables(s)
	p.checkPaths(s)
	p.checkKeyboard()
	p.isQuiet()
	p.checkAbsent()
	p.do(chromedp.Click(chromedp.CSS("#legend button[data-server='2']")))
	if n := value[int](p, `document.querySelectorAll("#ring.one .arc.chosen").length`); n != 3 {
		t.Errorf("s2 stands out in %d bands, not 3", n)
	}
	p.do(chromedp.Click(chromedp.CSS("#legend button[data-server='2']")))
	p.shoot("cluster-safe")

	members := c.Admin.View().Members // under load servers do not join in the order in which they start
	dead := members[slices.IndexFunc(members, func(m ring.Member) bool { return m.Addr == c.Servers[1].Addr })].ID
	c.Servers[1].Kill()
	p.wait(fmt.Sprintf(`document.querySelector("#servers tr[data-server=%v] .badge").textContent.startsWith("down")`, dead))
	p.wait(`document.querySelector("#sentence").textContent.startsWith("at risk") && document.querySelector("#events .badge").textContent !== "joined"`)
	p.check("a server is dead")
	p.shoot("cluster-dead")
	c.Leader.Kill()
	p.wait(`document.querySelector("#sentence").textContent.startsWith("not known") && document.querySelector("#verdict").dataset.level === "warning"`)
	c.Servers[1].Start()
	c.Leader.Start()
	p.wait(`document.querySelector("#verdict").dataset.level === "safe"`)
}

// text is the text of an element.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return value[string](p, fmt.Sprintf("document.querySelector(%q).textContent", selector))
}
