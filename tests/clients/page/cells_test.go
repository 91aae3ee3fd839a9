package page

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"viewring/tests/harness"
)

// cells are the texts of the rows of a table's body.
func (p *tab) cells(selector string) [][]string {
	p.t.Helper()
	return value[[][]string](p, fmt.Sprintf(`[...document.querySelectorAll(%q + " tbody tr")].map((r) => [...r.cells].map((c) => c.textContent))`, selector))
}

// decode has a command answer with JSON.
func decode[T any](p *tab, s *harness.Shell, args ...string) (v T) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(s.OK(append(args, "--json")...)), &v); err != nil {
		p.t.Fatalf("%s: %v", args, err)
	}
	return v
}

// checkExplained: who reads the page reads what explain says: numbers, sentence, and the walk.
func (p *tab) checkExplained(e *explained) {
	p.t.Helper()
	if got, want := p.text("#key-says"), strings.Join(e.Text, "; "); got != want {
		p.t.Errorf("the page says %q, explain %q", got, want)
	}
	steps := fmt.Sprintf("hash 0x%04x|slot %d|partition %d|on %s", e.Hash, e.Slot, e.Partition, strings.Join(e.Acting, ", "))
	if got := value[string](p, `[...document.querySelectorAll("#key-steps li")].map((e) => e.textContent).join("|")`); got != steps {
		p.t.Errorf("the steps are %q, not %q", got, steps)
	}
	rows := p.cells("#walk")
	if len(rows) != len(e.Walk) {
		p.t.Fatalf("the walk has %d rows, explain %d", len(rows), len(e.Walk))
	}
	for i, w := range e.Walk {
		if rows[i][0] != w.Server || rows[i][1] != w.Text {
			p.t.Errorf("the walk has %q, explain %s %q", rows[i], w.Server, w.Text)
		}
	}
}

// status is a part of what query_servers --json says.
type status struct {
	Epoch   uint64
	Servers []struct {
		ID, Address, State string
		Primary, Backup    int
		Keys, Bytes        uint64
	}
}

// checkTables: the cells are what commands say, and a title sorts them.
func (p *tab) checkTables(s *harness.Shell) {
	p.t.Helper()
	s.OK("lock_get", "page-lock", "page-client")
	s.OK("bench", "--seconds", "1", "--keys", "1500", "--value-size", "1000", "--connections", "4")
	var rows, want [][]string
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the cells are %q, and should be %q", rows, want)
		}
	}()
	harness.Eventually(p.t, "the cells are as query_servers says", func() bool {
		st := decode[status](p, s, "query_servers")
		rows, want = p.cells("#servers"), nil
		keys, bytes := uint64(0), uint64(0)
		for _, m := range st.Servers {
			want = append(want, []string{m.ID, m.State, m.Address, fmt.Sprintf("%d + %d", m.Primary, m.Backup), grouped(m.Keys), sized(m.Bytes)})
			keys, bytes = keys+m.Keys, bytes+m.Bytes
		}
		for i := range rows {
			rows[i] = rows[i][:min(len(rows[i]), 6)]
		}
		return slices.EqualFunc(rows, want, slices.Equal) && keys > 4000 && p.text("#keys") == grouped(keys) && p.text("#bytes") == sized(bytes) && p.text("#epoch") == grouped(st.Epoch)
	})
	p.wait(`[...document.querySelectorAll("#servers tbody tr")].every((r) => /^≤ \d+(\.\d)? (µs|ms)$/.test(r.cells[8].textContent) && /^≤ \d+(\.\d)? (µs|ms)$/.test(r.cells[9].textContent))`)
	p.wait(`(([lock, held]) => lock === "page-lock" && held === "page-client")([...document.querySelector("#locks tbody tr").cells].map((c) => c.textContent))`)
	events := decode[struct {
		Events []struct{ Event, Server, Detail string }
	}](p, s, "events").Events
	first, last := events[0], events[len(events)-1]
	p.wait(fmt.Sprintf(`((rows) => rows.includes(%s) && rows.indexOf(%s) > rows.indexOf(%[1]s))([...document.querySelectorAll("#events li")].map((e) => [2, 3, 4].map((i) => e.children[i].textContent).join("|")))`,
		quote(last.Event+"|"+last.Server+"|"+last.Detail), quote(first.Event+"|"+first.Server+"|"+first.Detail)))
	p.do(chromedp.Click(chromedp.CSS("#servers thead th:nth-child(1) button")))
	p.wait(`document.querySelector("#servers th[aria-sort=descending]").textContent === "Server"`)
	if first := p.cells("#servers")[0][0]; first != "s4" {
		p.t.Errorf("sorted by server, the last first: %s is first", first)
	}
}

// checkPaths: a path is what meta and file say, and names do nothing.
func (p *tab) checkPaths(s *harness.Shell) {
	p.t.Helper()
	const name = `<img src=x onerror="document.title='owned'">`
	s.OK("meta", "create", "/page", "")
	s.OK("meta", "create", "/page/"+name, "a value")
	s.OK("meta", "set", "/page/"+name, "another value")
	p.browse("/page")
	if rows := p.cells("#children"); len(rows) != 1 || rows[0][0] != name || rows[0][2] != "13 B" {
		p.t.Errorf("/page has %q", rows)
	}
	p.do(chromedp.Click(chromedp.CSS("#children tbody button")))
	p.wait(`document.querySelector("#paths-result").dataset.path === ` + quote("/page/"+name))
	stat := decode[struct {
		Modified, Created string
		Bytes             int
	}](p, s, "meta", "stat", "/page/"+name)
	facts := value[map[string]string](p, `Object.fromEntries([...document.querySelectorAll("#node div")].map((e) => [e.children[0].textContent, e.children[1].textContent]))`)
	if facts["path"] != "/page/"+name || facts["size"] != fmt.Sprint(stat.Bytes, " bytes") || facts["version"] != stat.Modified || !strings.HasPrefix(facts["created"], stat.Created+", ") || facts["changed"] != "1 time" {
		p.t.Errorf("the page says %q, meta stat %+v", facts, stat)
	}
	if n := value[int](p, `document.querySelectorAll("#paths-result img").length`); n != 0 {
		p.t.Error("a name has become an element")
	}
	p.browse("/")
}

// checkAbsent: that nothing is at a path is said. A browser tells its console of an answer 404.
func (p *tab) checkAbsent() {
	p.t.Helper()
	value[string](p, `document.querySelector("#path").value = "/absent"`)
	p.do(chromedp.Click(chromedp.CSS("#path-form button")))
	p.wait(`document.querySelector("#paths-says").textContent === "there is nothing at /absent" && document.querySelector("#paths-result").hidden`)
}

// checkKeyboard: the partitions are walked with keys, and said to who does not see.
func (p *tab) checkKeyboard() {
	p.t.Helper()
	p.do(chromedp.Focus(chromedp.CSS("#grid")))
	p.do(chromedp.KeyEvent(kb.Home))
	p.wait(`document.activeElement.id === "grid" && document.querySelector("#grid").getAttribute("aria-valuenow") === "0"`)
	p.do(chromedp.KeyEvent(kb.ArrowRight))
	p.wait(`document.querySelector("#grid").getAttribute("aria-valuetext").startsWith("partition 1: all copies; on s") && document.querySelector("#grid-says").textContent.startsWith("partition 1: ")`)
}

// grouped is a number with commas, as the page has it.
func grouped(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// sized is a number of bytes, as the page has it.
func sized(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n), []string{"B", "KiB", "MiB", "GiB"}
	for f >= 1024 {
		f, units = f/1024, units[1:]
	}
	return fmt.Sprintf("%.1f %s", f, units[0])
}
