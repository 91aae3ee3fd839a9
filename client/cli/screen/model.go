package screen

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// askMax bounds a look at the cluster: then it counts as one that failed.
const askMax = 5 * time.Second

// The messages beside those of keys and sizes.
type (
	clockMsg   struct{ now time.Time }
	readingMsg struct {
		reading *Reading
		err     error
	}
	detailsMsg struct {
		server  string
		details []Detail
		err     error
	}
)

// page is what is on the screen.
type page uint8

const (
	list page = iota
	opened
	help
)

// model is what is known, and what of it is shown. Update makes the next one of a message.
type model struct {
	ctx      context.Context
	source   Source
	interval time.Duration
	color    bool

	width, height int
	now           time.Time
	reading       *Reading // the newest; nil: none yet
	failed        error    // why there is no newer one, if that is so
	asking        bool     // a reading is under way
	asked         time.Time
	paused        bool

	sort   string // title of the column
	down   bool   // the largest first
	cursor string // the server where the cursor is: it stays there when rows change places
	top    int    // the first row that is shown

	page     page
	before   page     // help
	scroll   int      // of a server's details or the help
	answered string   // the server of which details are
	details  []Detail // that the server itself has told
	refused  error    // why it did not
	inquired bool     // it is being asked
}

func newModel(ctx context.Context, o *Options) model {
	return model{ctx: ctx, source: o.Source, interval: o.Interval, color: o.Color, now: o.Now(), sort: columns[0].title}
}

// Init implements tea.Model.
func (m model) Init() tea.Cmd { return m.tick() }

// tick tells the time again, soon enough for the next reading and for ages in seconds.
func (m model) tick() tea.Cmd {
	return tea.Tick(min(m.interval, time.Second), func(now time.Time) tea.Msg { return clockMsg{now} })
}

// Update implements tea.Model.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		if !m.asking && m.reading == nil && m.failed == nil {
			m, cmd = m.ask() // it has just begun
		}
	case clockMsg:
		m.now = msg.now
		m, cmd = m.due()
		cmd = tea.Batch(cmd, m.tick())
	case readingMsg:
		m.asking = false
		if !m.paused {
			m = m.take(msg)
		}
	case detailsMsg:
		m.inquired = false
		if msg.server == m.cursor && !m.paused {
			m.answered, m.details, m.refused = msg.server, msg.details, msg.err
		}
	case tea.KeyPressMsg:
		m, cmd = m.key(msg.String())
	}
	return m.fit(), cmd
}

// due asks when it is time to.
func (m model) due() (model, tea.Cmd) {
	if m.paused || m.asking || m.now.Sub(m.asked) < m.interval-m.interval/10 {
		return m, nil
	}
	return m.ask()
}

// ask has the cluster asked, and the server that is open.
func (m model) ask() (model, tea.Cmd) {
	m.asking, m.asked = true, m.now
	source, parent := m.source, m.ctx
	read := func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, askMax)
		defer cancel()
		r, err := source.Read(ctx)
		return readingMsg{r, err}
	}
	m, inquire := m.inquire()
	return m, tea.Batch(read, inquire)
}

// inquire has the server that is open asked.
func (m model) inquire() (model, tea.Cmd) {
	if m.page != opened || m.inquired || m.paused {
		return m, nil
	}
	m.inquired = true
	source, parent, server := m.source, m.ctx, m.cursor
	return m, func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, askMax)
		defer cancel()
		d, err := source.Ask(ctx, server)
		return detailsMsg{server, d, err}
	}
}

func (m model) take(msg readingMsg) model {
	if m.failed = msg.err; msg.err != nil {
		return m
	}
	m.reading = msg.reading
	m.now = latest(m.now, msg.reading.At)
	if m.server(m.cursor) == nil && len(m.reading.Servers) > 0 {
		m.cursor = m.table().servers[0].Name
		if m.page == opened {
			m.page = list // it is gone
		}
	}
	return m
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (m *model) server(name string) *Server {
	if m.reading == nil {
		return nil
	}
	for i := range m.reading.Servers {
		if m.reading.Servers[i].Name == name {
			return &m.reading.Servers[i]
		}
	}
	return nil
}

// table is that of the newest reading.
func (m *model) table() table {
	if m.reading == nil {
		return table{}
	}
	return lay(m.reading.Servers, m.sort, m.down, m.width)
}

// key does what a key is for.
func (m model) key(key string) (model, tea.Cmd) {
	switch key {
	case "ctrl+c", "q":
		return m, tea.Quit
	case "ctrl+z":
		return m, tea.Suspend
	case "ctrl+l":
		return m, tea.ClearScreen
	case "p", "space":
		if m.paused = !m.paused; !m.paused && !m.asking {
			return m.ask()
		}
		return m, nil
	case "?", "h":
		if m.page == help {
			m.page, m.scroll = m.before, 0
		} else {
			m.before, m.page, m.scroll = m.page, help, 0
		}
		return m, nil
	case "esc", "backspace":
		if m.page == help && m.before == opened {
			m.page, m.scroll = opened, 0
		} else {
			m.page = list
		}
		return m, nil
	}
	if m.page != list {
		return m.scrolled(key), nil
	}
	return m.listKey(key)
}

// steps are the keys that go somewhere, and how far: in rows, or in pages.
var steps = map[string]struct{ rows, pages int }{
	"up": {rows: -1}, "k": {rows: -1}, "down": {rows: 1}, "j": {rows: 1}, "pgup": {pages: -1}, "pgdown": {pages: 1},
	"home": {pages: -1 << 16}, "g": {pages: -1 << 16}, "end": {pages: 1 << 16}, "G": {pages: 1 << 16},
}

func (m model) scrolled(key string) model {
	step := steps[key]
	m.scroll += step.rows + step.pages*max(1, m.height-4)
	return m
}

func (m model) listKey(key string) (model, tea.Cmd) {
	t := m.table()
	if len(t.servers) == 0 {
		return m, nil
	}
	at := max(0, slices.IndexFunc(t.servers, func(s *Server) bool { return s.Name == m.cursor }))
	sorted := slices.IndexFunc(t.columns, func(c *column) bool { return c.title == m.sort })
	switch step, moves := steps[key]; {
	case moves:
		to := at + step.rows + step.pages*max(1, m.rows())
		m.cursor = t.servers[max(0, min(to, len(t.servers)-1))].Name
	case key == "enter":
		m.page, m.scroll = opened, 0
		return m.inquire()
	case key == "s", key == "right":
		m = m.sortBy(t.columns[(sorted+1)%len(t.columns)])
	case key == "S", key == "left":
		m = m.sortBy(t.columns[(max(0, sorted)+len(t.columns)-1)%len(t.columns)])
	case key == "r":
		m.down = !m.down
	case len(key) == 1 && strings.Contains("123456789", key):
		if n := int(key[0] - '1'); n < len(t.columns) {
			m = m.sortBy(t.columns[n])
		}
	}
	return m, nil
}

// sortBy sorts by a column; once more by the same turns it around.
func (m model) sortBy(c *column) model {
	if c.title == m.sort {
		m.down = !m.down
		return m
	}
	m.sort, m.down = c.title, c.number
	return m
}

// fit keeps what is shown within what there is.
func (m model) fit() model {
	t := m.table()
	at := max(0, slices.IndexFunc(t.servers, func(s *Server) bool { return s.Name == m.cursor }))
	rows := m.rows()
	m.top = max(0, min(m.top, at, len(t.servers)-rows))
	m.top = max(m.top, at-rows+1)
	if m.page != list {
		m.scroll = max(0, min(m.scroll, len(m.body())-m.bodyHeight()))
	}
	return m
}

// silent is from when on a cluster that has said nothing new counts as one that does not answer.
func (m *model) silent() bool {
	return m.reading != nil && !m.paused && m.now.Sub(m.reading.At) > max(askMax, 3*m.interval)
}

// old reports whether what is shown is not how it stands now.
func (m *model) old() bool { return m.failed != nil || m.silent() }

// why says why it is.
func (m *model) why() string {
	if m.failed == nil {
		return "the view leader does not answer"
	}
	return cmp.Or(clean(m.failed.Error()), "the view leader does not answer")
}
