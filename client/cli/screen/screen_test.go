package screen

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

var update = flag.Bool("update", false, "write the captures anew")

// start is when all readings are made.
var start = time.Date(2030, 1, 2, 12, 3, 4, 0, time.UTC)

// nobody is a source that is not asked: tests bring the messages.
type nobody struct{}

func (nobody) Read(context.Context) (*Reading, error)        { panic("a test reads") }
func (nobody) Ask(context.Context, string) ([]Detail, error) { panic("a test asks") }

// newTest is a screen of a size, and of nothing yet.
func newTest(t *testing.T, width, height int) model {
	t.Helper()
	m := newModel(t.Context(), &Options{Source: nobody{}, Interval: time.Second, Now: func() time.Time { return start }})
	return send(m, tea.WindowSizeMsg{Width: width, Height: height})
}

// send has a model take messages; keys are told as strings.
func send(m model, messages ...any) model {
	for _, msg := range messages {
		if key, ok := msg.(string); ok {
			msg = press(key)
		}
		next, _ := m.Update(msg)
		m = next.(model)
	}
	return m
}

var keys = map[string]tea.KeyPressMsg{
	"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown},
	"end": {Code: tea.KeyEnd}, "home": {Code: tea.KeyHome}, "pgdown": {Code: tea.KeyPgDown}, "right": {Code: tea.KeyRight}, "left": {Code: tea.KeyLeft},
	"ctrl+c": {Code: 'c', Mod: tea.ModCtrl}, "space": {Code: ' ', Text: " "},
}

func press(key string) tea.KeyPressMsg {
	if k, ok := keys[key]; ok {
		return k
	}
	return tea.KeyPressMsg{Code: rune(key[0]), Text: key}
}

// reading is one of so many servers, all well.
func reading(servers int) *Reading {
	r := &Reading{At: start, Sentence: "safe: all 1024 partitions have all 3 copies", Rebalancing: "rebalanced",
		Facts:   fmt.Sprintf("cluster feed0000  epoch %d  %d servers  1024 partitions", servers+1, servers),
		Leaders: []Leader{{"10.0.0.1:28500", "head", true}, {"10.0.0.2:28500", "", true}, {"10.0.0.3:28500", "", true}}}
	for i := range servers {
		r.Servers = append(r.Servers, Server{Name: fmt.Sprint("s", i+1), Number: uint64(i + 1), Address: fmt.Sprintf("10.0.1.%d:28600", i+1), State: "up",
			Zone: fmt.Sprint("rack-", i%3+1), Weight: i%2 + 1, Primary: 1024 / servers, Backup: 2048 / servers, Keys: uint64(30_000 + 317*i%900), Bytes: uint64(4_000_000_000 + 31_000_000*(i%17)),
			Size: fmt.Sprintf("%.1f GiB", float64(4_000_000_000+31_000_000*(i%17))/(1<<30)),
			Work: Work{Known: true, PerSecond: float64(1200 + 97*i%350), P50: 128 * time.Microsecond, P99: 2048 * time.Microsecond}, Silent: 60 * time.Millisecond,
			Details: []Detail{{"address", fmt.Sprintf("10.0.1.%d:28600", i+1), Good}, {"partitions", fmt.Sprintf("%d as primary, %d as backup", 1024/servers, 2048/servers), Good}, {"disk", "12 corrupt keys, 12 repaired, and this line is so long that it has to go on below where it began", Worrying}}})
	}
	return r
}

func rebalance() *Reading {
	r := reading(4)
	r.Sentence, r.Tone = "at risk: 120 of 1024 partitions have too few copies (fewer than 3), 4 of them are read-only", Worrying
	r.Rebalancing = "rebalancing: 120 partition copies left, about 8.4 GiB, 171.7 MiB/s, 50s to go"
	s := &r.Servers[3]
	s.Copying, s.Keys, s.Size, s.Work = Copying{120, "120 left, 50s"}, 812, "91.2 MiB", Work{}
	r.Problems = []string{"s4: 12 copies of partitions wait for s2, whose disk or load is slow: others come from it, these do not, for 14s"}
	return r
}

func dead() *Reading {
	r := reading(4)
	r.Sentence, r.Tone = "at risk: 768 of 1024 partitions have too few copies (fewer than 3)", Worrying
	r.Rebalancing = "waiting for s2, which is down, with 768 partition copies left"
	r.Leaders[2].Up = false
	s := &r.Servers[1]
	s.State, s.Tone, s.Work, s.Silent = "down", Bad, Work{}, 42*time.Second
	return r
}

var lost = readingMsg{err: errors.New("status: view leader 10.0.0.1:28500: connection refused")}

// captures are what people see, by name.
var captures = map[string]func(t *testing.T, width, height int) model{
	"rest":      func(t *testing.T, w, h int) model { return send(newTest(t, w, h), readingMsg{reading: reading(4)}) },
	"rebalance": func(t *testing.T, w, h int) model { return send(newTest(t, w, h), readingMsg{reading: rebalance()}) },
	"dead":      func(t *testing.T, w, h int) model { return send(newTest(t, w, h), readingMsg{reading: dead()}) },
	"leaderless": func(t *testing.T, w, h int) model {
		return send(newTest(t, w, h), readingMsg{reading: reading(4)}, clockMsg{start.Add(12 * time.Second)}, lost)
	},
	"forty": func(t *testing.T, w, h int) model {
		return send(newTest(t, w, h), readingMsg{reading: reading(40)}, "end", "up")
	},
	"opened": func(t *testing.T, w, h int) model {
		return send(newTest(t, w, h), readingMsg{reading: reading(4)}, "down", "enter", detailsMsg{server: "s2", details: []Detail{{"version", "v1.2.3", Good}}})
	},
	"help": func(t *testing.T, w, h int) model {
		return send(newTest(t, w, h), readingMsg{reading: reading(4)}, "?")
	},
}

// TestCaptures: what people see is as it was looked at, and fits.
func TestCaptures(t *testing.T) {
	for name, make := range captures {
		for _, size := range [][2]int{{80, 24}, {200, 50}, {80, 8}} {
			t.Run(fmt.Sprintf("%s %dx%d", name, size[0], size[1]), func(t *testing.T) {
				m := make(t, size[0], size[1])
				checkFits(t, &m)
				file := filepath.Join("testdata", fmt.Sprintf("%s-%dx%d.txt", name, size[0], size[1]))
				got := m.text() + "\n"
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("it is\n%s\nand was\n%s", got, want)
				}
			})
		}
	}
}

// checkFits: nothing is wider or higher than the screen.
func checkFits(t *testing.T, m *model) {
	t.Helper()
	lines := strings.Split(m.text(), "\n")
	if len(lines) > m.height {
		t.Errorf("%d lines, not %d:\n%s", len(lines), m.height, m.text())
	}
	for _, l := range lines {
		if w := ansi.StringWidth(l); w > m.width {
			t.Errorf("%d columns, not %d: %q", w, m.width, l)
		}
	}
}

// TestSizes: it fits wherever it is shown, also while it is resized.
func TestSizes(t *testing.T) {
	for name, make := range captures {
		m := make(t, 80, 24)
		m.color = true
		for _, width := range []int{1, 9, 40, 79, 131} {
			for _, height := range []int{1, 2, 3, 5, 6, 8, 11, 17, 30} {
				m = send(m, tea.WindowSizeMsg{Width: width, Height: height})
				checkFits(t, &m)
				if m.page == list && height > 4 && width > 8 && !strings.Contains(ansi.Strip(m.text()), "› "+m.cursor) {
					t.Fatalf("%s, %dx%d: the cursor is not to be seen:\n%s", name, width, height, m.text())
				}
			}
		}
	}
}

// order are the servers from above, as they are shown.
func order(m *model) string {
	var names []string
	for _, s := range m.table().servers {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}

// TestSort: keys choose the column and the order, and the cursor stays with its server.
func TestSort(t *testing.T) {
	m := send(newTest(t, 200, 50), readingMsg{reading: dead()}, "down", "down")
	if m.cursor != "s3" || order(&m) != "s1 s2 s3 s4" {
		t.Fatalf("at first: cursor %s, %s", m.cursor, order(&m))
	}
	for _, tt := range []struct {
		keys, sort, want string
	}{
		{"r", "ID", "s4 s3 s2 s1"},
		{"1", "ID", "s1 s2 s3 s4"}, // once more
		{"s", "STATE", "s2 s1 s3 s4"},
		{"2", "STATE", "s1 s3 s4 s2"},
		{"8", "KEYS", "s3 s2 s4 s1"},
		{"S", "BACKUP", "s1 s2 s3 s4"},
		{"9", "BYTES", "s4 s3 s2 s1"},
		{"s", "OPS/S", "s4 s3 s1 s2"}, // what is not known is less than anything
	} {
		m = send(m, tt.keys)
		if m.sort != tt.sort || order(&m) != tt.want || m.cursor != "s3" {
			t.Errorf("%s: by %s %s, cursor %s; want by %s %s", tt.keys, m.sort, order(&m), m.cursor, tt.sort, tt.want)
		}
	}
	if text := m.text(); !strings.Contains(text, "OPS/S▼") || !strings.Contains(text, "› s3") {
		t.Errorf("the order is not shown:\n%s", text)
	}
}

// TestPause: while it is paused nothing changes, and nothing is asked; then it is at once.
func TestPause(t *testing.T) {
	m := send(newTest(t, 80, 24), readingMsg{reading: reading(4)}, "p")
	m = send(m, readingMsg{reading: dead()}, clockMsg{start.Add(time.Hour)})
	if text := m.text(); !strings.Contains(text, "PAUSED") || !strings.Contains(text, "safe: all 1024") || m.asking {
		t.Errorf("asking %v:\n%s", m.asking, text)
	}
	if m = send(m, "p"); !m.asking {
		t.Error("nothing is asked after the pause")
	}
	if m = send(m, readingMsg{reading: dead()}); !strings.Contains(m.text(), "at risk: 768") {
		t.Errorf("after the pause:\n%s", m.text())
	}
}

// TestClock: one reading at a time, one after each interval; one that does not come is told of.
func TestClock(t *testing.T) {
	m := newTest(t, 80, 24)
	if !m.asking {
		t.Fatal("nothing is asked at first")
	}
	m = send(m, readingMsg{reading: reading(4)})
	for i, want := range []bool{false, true, true} {
		if m = send(m, clockMsg{start.Add(time.Duration(i) * time.Second)}); m.asking != want {
			t.Errorf("after %d s: asking %v", i, m.asking)
		}
	}
	if m.asked != start.Add(time.Second) {
		t.Error("it is asked again before it has answered")
	}
	if m = send(m, clockMsg{start.Add(9 * time.Second)}); !strings.HasPrefix(m.text(), "! not known: the view leader does not answer") || !strings.Contains(m.text(), "last known 9s ago: safe") {
		t.Errorf("nothing has come for 9 s:\n%s", m.text())
	}
	m = send(m, readingMsg{reading: reading(4)})
	if m = send(m, clockMsg{start.Add(9 * time.Second)}, readingMsg{reading: &Reading{At: start.Add(9 * time.Second), Sentence: "safe: it is"}}); !strings.HasPrefix(m.text(), "✓ safe: it is") || !strings.Contains(m.text(), "no server has joined yet") {
		t.Errorf("it has come:\n%s", m.text())
	}
}

// TestGone: a server that leaves takes neither the cursor nor an open page with it.
func TestGone(t *testing.T) {
	m := send(newTest(t, 80, 24), readingMsg{reading: reading(4)}, "end", "enter", readingMsg{reading: reading(3)})
	if m.page != list || m.cursor != "s1" {
		t.Errorf("page %d, cursor %s", m.page, m.cursor)
	}
}

// TestPages: keys lead from one to another and back, and what a server says of itself is that of the one which is open.
func TestPages(t *testing.T) {
	m := send(newTest(t, 80, 24), readingMsg{reading: reading(4)})
	for _, tt := range []struct {
		msg  any
		want string
	}{
		{"enter", "the server itself is asked"},
		{detailsMsg{server: "s3", details: []Detail{{Name: "version", Text: "of another"}}}, "the server itself is asked"},
		{detailsMsg{server: "s1", err: errors.New("no\nconnection")}, "does not answer: no·connection"},
		{"?", "Ctrl-C"}, {"esc", "Server s1"}, {"?", "Ctrl-C"}, {"?", "Server s1"},
		{detailsMsg{server: "s1", details: []Detail{{Name: "version", Text: "its own"}}}, "its own"},
		{detailsMsg{server: "s2", details: []Detail{{Name: "version", Text: "of another"}}}, "its own"},
		{"esc", "› s1"}, {"h", "Ctrl-C"}, {"esc", "› s1"}, {"down", "› s2"}, {"G", "› s4"}, {"j", "› s4"}, {"pgdown", "› s4"}, {"g", "› s1"}, {"up", "› s1"},
	} {
		if m = send(m, tt.msg); !strings.Contains(m.text(), tt.want) {
			t.Fatalf("after %v there is no %q:\n%s", tt.msg, tt.want, m.text())
		}
	}
	for _, key := range []string{"q", "ctrl+c"} {
		if _, cmd := m.Update(press(key)); cmd == nil || cmd() != tea.Quit() {
			t.Errorf("%s does not quit", key)
		}
	}
}

// TestHostile: whatever names have in them stands there as text.
func TestHostile(t *testing.T) {
	r := reading(3)
	r.Servers[0].Zone, r.Servers[0].State = "\x1b[2J\x1b]0;owned\a", "up\nand\rdown\u202e"
	r.Problems, r.Facts = []string{"s1: \x1b[31m\x9b5m" + strings.Repeat("x", 5000)}, "a\tb"
	m := send(newTest(t, 80, 24), readingMsg{reading: r})
	checkFits(t, &m)
	if i := strings.IndexFunc(m.text(), func(c rune) bool { return c < ' ' && c != '\n' || c == 0x9b || c == '\u202e' }); i >= 0 {
		t.Errorf("%q", m.text())
	}
	m = send(m, readingMsg{err: errors.New("bad \x1b[2J" + strings.Repeat("word ", 500))})
	checkFits(t, &m)
	if strings.Contains(m.text(), "\x1b") {
		t.Errorf("%q", m.text())
	}
}

// TestColors: without colors there are none, and with them the text is the same.
func TestColors(t *testing.T) {
	for name, make := range captures {
		m := make(t, 80, 24)
		without := m.text()
		m.color = true
		with := m.text()
		if strings.Contains(without, "\x1b") || !strings.Contains(with, "\x1b[") || ansi.Strip(with) != without {
			t.Errorf("%s:\n%s\n%s", name, without, with)
		}
	}
}
