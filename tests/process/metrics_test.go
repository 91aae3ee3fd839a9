package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"viewring/internal/wire"
	"viewring/server/zk/jute"
	"viewring/tests/harness"
)

const metricsFolder = root + "/internal/metrics/"

// observed is a cluster of which each process tells its metrics.
type observed struct {
	t           *testing.T
	cluster     *harness.Cluster
	addrs       map[string]string // of metrics, by kind of process; one of each
	all         []string
	shell       *harness.Shell
	gateway, zk string
	http        string
}

var metricsAddr = regexp.MustCompile(`"msg":"metrics are served","addr":"([^"]+)"`)

func (o *observed) add(kind string, d *harness.Daemon) {
	o.t.Helper()
	d.Stderr.Wait(o.t, "metrics are served", d.Done)
	addr := metricsAddr.FindStringSubmatch(d.Stderr.Text())[1]
	o.addrs[kind] = addr
	o.all = append(o.all, addr)
}

func newObserved(t *testing.T) *observed {
	o := &observed{t: t, addrs: map[string]string{}, gateway: harness.FreeAddr(t), zk: harness.FreeAddr(t), http: harness.FreeAddr(t)}
	o.cluster = harness.NewCluster(t, harness.Config{Servers: 3, Direct: true, LeaderFlags: []string{"--partitions", "64", "--metrics", ":0"},
		ServerFlags: []string{"--metrics", ":0", "--pprof", "--slowlog-slower-than", "1ns", "--slowlog-max-len", "7", "--latency-monitor-threshold", "1ns"}})
	o.add("viewleader", o.cluster.Leader.Daemon())
	for _, s := range o.cluster.Servers {
		o.add("server", s.Daemon())
	}
	s := harness.NewShell(t, strings.Join(o.cluster.Options().Leaders, ","))
	o.shell = s
	o.add("gateway", s.Start("gateway", "--listen", o.gateway, "--metrics", ":0", "--slowlog-slower-than", "-1ns"))
	o.add("zk", s.Start("zk", "--listen", o.zk, "--metrics", ":0"))
	o.add("http", s.Start("http", "--listen", o.http, "--metrics", ":0"))
	for kind, addr := range o.addrs {
		harness.Eventually(t, kind+" is ready", func() bool { status, _ := fetch(t, "http://"+addr+"/readyz"); return status == http.StatusOK })
	}
	return o
}

// use does something of everything.
func (o *observed) use() {
	o.t.Helper()
	for _, command := range []string{"SET a b", "GET a", "GET absent", "NOSUCH command", "CONFIG GET port"} {
		ask(o.t, dialRESP(o.t, o.gateway), command)
	}
	for _, s := range o.cluster.Servers {
		ask(o.t, dialRESP(o.t, s.Addr), "GET a")
	}
	if _, err := o.cluster.Client.Get(o.t.Context(), "a"); err != nil {
		o.t.Fatal(err)
	}
	c := dialPlain(o.t, o.zk)
	zkAsk(o.t, c, jute.AppendConnect(nil, &jute.Connect{Timeout: 10_000, Password: make([]byte, 16)}))
	zkAsk(o.t, c, jute.AppendRequest(nil, &jute.Request{Xid: 1, Op: jute.OpExists, Path: "/"}))
	fetch(o.t, "http://"+o.http+"/")
	fetch(o.t, "http://"+o.http+"/b/k?X-Amz-Date=x")
}

func fetch(t *testing.T, address string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// families are what a process tells of ours, as rows of the table in the README.
func families(t *testing.T, scrape string) map[string]string {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(scrape))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for name, f := range all {
		if !strings.HasPrefix(name, "viewring_") {
			continue
		}
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels["`"+l.GetName()+"`"] = true
			}
		}
		cells := []string{"`" + name + "`", strings.ToLower(dto.MetricType_name[int32(f.GetType())]), strings.Join(slices.Sorted(maps.Keys(labels)), " "), f.GetHelp()}
		rows[name] = strings.ReplaceAll("| "+strings.Join(cells, " | ")+" |", "|  |", "| |")
	}
	return rows
}

// TestMetrics: what each kind of process tells is well-formed, is what the README's table
// says, and has all that the dashboard and the alerts ask for.
func TestMetrics(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	o.use()
	o.shell.OK("lock_get", "l", "holder")
	o.shell.Start("lock_get", "l", "waiter")
	harness.Eventually(t, "a client waits for the lock", func() bool { return strings.Contains(o.shell.OK("locks"), "waiter") })
	told := map[string]string{}
	for kind, addr := range o.addrs {
		for _, path := range []string{"/healthz", "/readyz"} {
			if status, body := fetch(t, "http://"+addr+path); status != http.StatusOK || body != "ok\n" {
				t.Errorf("%s%s: %d, %q", kind, path, status, body)
			}
		}
		status, scrape := fetch(t, "http://"+addr+"/metrics")
		if status != http.StatusOK || !strings.Contains(scrape, "\ngo_goroutines ") || !strings.Contains(scrape, "\nprocess_cpu_seconds_total ") {
			t.Errorf("%s: %d: %.500s", kind, status, scrape)
		}
		checkMetrics(t, kind, scrape)
		maps.Copy(told, families(t, scrape))
		if status, _ := fetch(t, "http://"+addr+"/debug/pprof/"); (status == http.StatusOK) != (kind == "server") {
			t.Errorf("profiles of %s: %d", kind, status)
		}
	}
	page, err := os.ReadFile(metricsFolder + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(viewring_\\w+)` \\|.*$").FindAllStringSubmatch(string(page), -1) {
		rows[row[1]] = row[0]
	}
	for _, name := range slices.Sorted(maps.Keys(told)) {
		if rows[name] != told[name] {
			t.Errorf("README.md has\n%s\nwhat is told is\n%s", rows[name], told[name])
		}
	}
	for name := range rows {
		if told[name] == "" {
			t.Errorf("README.md has %s, nobody tells it", name)
		}
	}
	for _, file := range []string{"alerts.yml", "dashboard.json"} {
		text, err := os.ReadFile(metricsFolder + file)
		if err != nil {
			t.Fatal(err)
		}
		names := metricNames(string(text), told)
		if len(names) < 20 {
			t.Errorf("%s names %d metrics", file, len(names))
		}
		for _, name := range names {
			if told[name] == "" {
				t.Errorf("%s names %s, which nobody tells", file, name)
			}
		}
	}
	checkFigures(t, o)
	checkSlow(t, o)
	t.Run("prometheus", func(t *testing.T) { testPrometheus(t, o) })
}

// series is a line of a scrape.
var series = regexp.MustCompile(`(?m)^(viewring_\S+) (\S+)$`)

// figures are those of all processes, each summed up over them.
func (o *observed) figures() map[string]float64 {
	o.t.Helper()
	sums := map[string]float64{}
	for _, addr := range o.all {
		_, scrape := fetch(o.t, "http://"+addr+"/metrics")
		for _, line := range series.FindAllStringSubmatch(scrape, -1) {
			n, err := strconv.ParseFloat(line[2], 64)
			if err != nil {
				o.t.Fatal(err)
			}
			sums[strings.TrimPrefix(line[1], "viewring_")] += n
		}
	}
	return sums
}

// checkFigures waits until the figures are what has happened: on a busy machine a server may just count as down.
func checkFigures(t *testing.T, o *observed) {
	t.Helper()
	exactly := map[string]float64{
		`server_partitions{role="primary"}`: 64, `server_partitions{role="backup"}`: 128, `server_copies_short`: 0, `server_partitions_unleased`: 0, `server_keys`: 3,
		`server_value_bytes`: 3, `server_link_up{peer="s1"}`: 2, `server_replication_waiting_writes`: 0,
		`viewleader_head`: 1, `viewleader_servers{state="up"}`: 3, `viewleader_partitions_unserved`: 0, `viewleader_copies_short`: 0, `viewleader_locks_held`: 1, `viewleader_locks_waiting`: 1,
		`ready{service="server"}`: 3,
	}
	atLeastOne := []string{
		`server_commands_total{command="vr.do|get",outcome="ok"}`, `viewleader_elections_total`, `gateway_commands_total{command="set",outcome="ok"}`,
		`gateway_commands_total{command="get",outcome="absent"}`, `gateway_commands_total{command="other",outcome="err"}`, `zk_requests_total{operation="exists",outcome="ok"}`,
		`http_requests_total{code="2xx",method="GET"}`, `s3_requests_total{operation="GetObject",outcome="denied"}`, "server_batch_operations_count",
		"server_store_sync_duration_seconds_count", "viewleader_log_sync_duration_seconds_count", `server_cache_reads_total{result="hit"}`,
	}
	var wrong []string
	t.Cleanup(func() {
		if len(wrong) > 0 {
			t.Log(wrong)
		}
	})
	harness.Eventually(t, "the figures are right", func() bool {
		got := o.figures()
		wrong = wrong[:0]
		for name, want := range exactly {
			if got[name] != want {
				wrong = append(wrong, fmt.Sprintf("%s: %v, want %v", name, got[name], want))
			}
		}
		for _, name := range atLeastOne {
			if got[name] < 1 {
				wrong = append(wrong, name+": none")
			}
		}
		return len(wrong) == 0
	})
}

// checkSlow: the flags of SLOWLOG and LATENCY reach a server's commands, and a gateway's.
func checkSlow(t *testing.T, o *observed) {
	t.Helper()
	server, gateway := dialRESP(t, o.cluster.Servers[0].Addr), dialRESP(t, o.gateway)
	for _, q := range []struct {
		conn          *wire.Conn
		command, want string
	}{
		{server, "CLIENT SETNAME tester", "OK"},
		{server, "ECHO first", "first"},
		{server, "SLOWLOG GET 1", `\[\[\d+ \d+ \d+ \[ECHO first\] 127\.0\.0\.1:\d+ tester\]\]`},
		{server, "SLOWLOG LEN", "7"},
		{server, "LATENCY LATEST", `\[\[aof-fsync-always .*\[command .*\[fast-command .*`},
		{server, "CONFIG GET slowlog-*", `\[slowlog-log-slower-than 0 slowlog-max-len 7\]`},
		{server, "CONFIG GET latency-monitor-threshold", `\[latency-monitor-threshold 0\]`},
		{gateway, "SLOWLOG LEN", "0"},
		{gateway, "LATENCY HISTOGRAM set", `\[set \[calls \d+ histogram_usec \[.*\]\]\]`},
		{gateway, "LATENCY LATEST", `\[\]`},
		{gateway, "INFO commandstats", `(?s).*\r\ncmdstat_set:calls=\d+,usec=.*cmdstat_other:calls=\d+,.*`},
	} {
		if got := ask(t, q.conn, q.command); !regexp.MustCompile("^" + q.want + "$").MatchString(got) {
			t.Errorf("%s: %s, want %s", q.command, got, q.want)
		}
	}
}

// metricNames are those that a text has of ours; a histogram's series stand for it.
func metricNames(text string, told map[string]string) (names []string) {
	for _, name := range regexp.MustCompile(`viewring_\w+`).FindAllString(text, -1) {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if of, ok := strings.CutSuffix(name, suffix); ok && told[of] != "" {
				name = of
			}
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkMetrics has promtool check a scrape, where it is installed.
func checkMetrics(t *testing.T, kind, scrape string) {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		return
	}
	check := exec.CommandContext(t.Context(), tool, "check", "metrics")
	check.Stdin = strings.NewReader(scrape)
	if out, err := check.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics of %s: %v\n%s", kind, err, out)
	}
}

// testPrometheus: a real Prometheus that scrapes the cluster answers the dashboard's queries.
func testPrometheus(t *testing.T, o *observed) {
	harness.Slow(t)
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no prometheus here")
	}
	dir, addr := t.TempDir(), harness.FreeAddr(t)
	rules, err := filepath.Abs(metricsFolder + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n  - job_name: viewring\n    static_configs:\n      - targets: ['%s']\n", rules, strings.Join(o.all, "', '"))
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log := harness.NewLines()
	cmd := exec.Command(binary, "--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", addr)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its data is the test's
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.Text())
		}
	})
	queries := dashboardQueries(t)
	if len(queries) < 40 {
		t.Errorf("%d queries", len(queries))
	}
	for _, q := range queries {
		harness.Eventually(t, q, func() bool {
			o.use()
			return answered(t, addr, q)
		})
	}
}

// dashboardQueries are those of all panels, with what Grafana would put in.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	text, err := os.ReadFile(metricsFolder + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			queries = append(queries, strings.NewReplacer("$job", "viewring", "$__rate_interval", "20s").Replace(target.Expr))
		}
	}
	return queries
}

// answered reports whether Prometheus has data for a query.
func answered(t *testing.T, addr, query string) bool {
	t.Helper()
	_, body := fetch(t, "http://"+addr+"/api/v1/query?query="+url.QueryEscape(query))
	var reply struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(body), &reply); err != nil {
		return false // it is not up yet
	}
	if reply.Status == "error" && !strings.Contains(reply.Error, "not ready") {
		t.Fatalf("%s: %s", query, reply.Error)
	}
	return len(reply.Data.Result) > 0
}

// TestMetricsFlags: profiles are served where they are asked for, and beyond this machine only
// where that is meant.
func TestMetricsFlags(t *testing.T) {
	t.Parallel()
	s := harness.NewShell(t, harness.FreeAddr(t))
	s.Fails(2, "--pprof needs --metrics", "gateway", "--pprof")
	s.Fails(2, "--metrics must be HOST:PORT", "gateway", "--metrics", "9401")
	s.Fails(2, "is not a port", "server", "--data", "d", "--metrics", "localhost:x")
	s.Fails(4, "--insecure", "viewleader", "--data", "d", "--metrics", "0.0.0.0:0", "--pprof")
	d := s.Start("gateway", "--listen", harness.FreeAddr(t), "--metrics", "0.0.0.0:0")
	d.Stderr.Wait(t, "there is no password and no TLS", d.Done)
	addr := metricsAddr.FindStringSubmatch(d.Stderr.Text())[1]
	_, port, _ := strings.Cut(strings.TrimPrefix(addr, "[::]"), ":") // told by the kernel
	if status, body := fetch(t, "http://127.0.0.1:"+port+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "gateway: it starts") {
		t.Errorf("/readyz without a cluster: %d, %q", status, body)
	}
	if status, body := fetch(t, "http://127.0.0.1:"+port+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz without a cluster: %d, %q", status, body)
	}
}
