package process

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"viewring/tests/harness"
)

const deploy = root + "/scripts/deploy/"

// composeFile is what our compose files may have: what is not here is refused.
type composeFile struct {
	Name     string                    `yaml:"name"`
	Common   composeService            `yaml:"x-viewring"`
	Services map[string]composeService `yaml:"services"`
	Volumes  map[string]any            `yaml:"volumes"`
}

type composeService struct {
	Image string `yaml:"image"`
	Build struct {
		Context    string `yaml:"context"`
		Dockerfile string `yaml:"dockerfile"`
	} `yaml:"build"`
	Restart         string            `yaml:"restart"`
	StopGracePeriod time.Duration     `yaml:"stop_grace_period"`
	Ulimits         map[string]int    `yaml:"ulimits"`
	Environment     map[string]string `yaml:"environment"`
	Command         []string          `yaml:"command"`
	Ports           []string          `yaml:"ports"`
	Volumes         []string          `yaml:"volumes"`
}

func readCompose(t *testing.T, name string) (f composeFile) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(readDeploy(t, name)))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return f
}

func readDeploy(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(deploy + name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// imageEnv is the environment of the image.
func imageEnv(t *testing.T) map[string]string {
	t.Helper()
	env := map[string]string{}
	m := regexp.MustCompile(`(?m)^ENV (.*)$`).FindSubmatch(readDeploy(t, "Dockerfile"))
	for _, e := range strings.Fields(string(m[1])) {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	return env
}

// TestDeployFiles: the files for containers agree with each other, with the module and with what
// the processes need.
func TestDeployFiles(t *testing.T) {
	t.Parallel()
	image, env := string(readDeploy(t, "Dockerfile")), imageEnv(t)
	module, err := os.ReadFile(root + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)[1]
	_, metrics, _ := strings.Cut(env["VIEWRING_METRICS"], ":")
	for _, want := range []string{"FROM golang:" + string(version) + "-", "\nUSER 10001\n", "\nVOLUME " + env["VIEWRING_DATA"] + "\n",
		"http://127.0.0.1:" + metrics + "/healthz", "chown viewring:viewring " + env["VIEWRING_DATA"]} {
		if !strings.Contains(image, want) {
			t.Errorf("the Dockerfile does not say %q", want)
		}
	}
	plain, tls := readCompose(t, "compose.yaml"), readCompose(t, "compose.tls.yaml")
	var leaders, servers []string
	for _, name := range slices.Sorted(maps.Keys(plain.Services)) {
		s := plain.Services[name]
		where := filepath.Join(deploy, s.Build.Context, s.Build.Dockerfile)
		if _, err := os.Stat(where); err != nil || s.Image != "viewring" {
			t.Errorf("%s is built from %s: %v", name, where, err)
		}
		if _, known := plain.Volumes[name]; !known || !slices.Equal(s.Volumes, []string{name + ":" + env["VIEWRING_DATA"]}) {
			t.Errorf("%s keeps its data in %q", name, s.Volumes)
		}
		if s.StopGracePeriod < 15*time.Second || s.Restart != "on-failure" || s.Ulimits["nofile"] < 20_000 {
			t.Errorf("%s: %+v", name, s)
		}
		switch s.Command[0] {
		case "viewleader":
			leaders = append(leaders, name+":28500")
		case "server":
			servers = append(servers, name)
		}
		if port := map[string]string{"viewleader": "28500", "server": "28600"}[s.Command[0]]; !slices.Contains(s.Command, "--advertise="+name+":"+port) || !slices.Contains(s.Command, "--listen=0.0.0.0:"+port) {
			t.Errorf("%s is reached elsewhere: %q", name, s.Command)
		}
		secure := tls.Services[name].Environment
		for flag, file := range map[string]string{"TLS_CERT": name + ".pem", "TLS_KEY": name + ".key", "TLS_CA": "ca.pem", "PASSWORD_FILE": "password"} {
			if secure["VIEWRING_"+flag] != "/certs/"+file || !slices.Contains(tls.Services[name].Volumes, "./certs/"+file+":/certs/"+file+":ro") {
				t.Errorf("%s with TLS does not have %s", name, file)
			}
		}
	}
	if len(leaders) != 3 || len(servers) != 5 || len(plain.Volumes) != 8 || len(tls.Services) != 8 {
		t.Errorf("view leaders %q, servers %q, %d volumes, %d with TLS", leaders, servers, len(plain.Volumes), len(tls.Services))
	}
	group := strings.Join(leaders, ",")
	for name, s := range plain.Services {
		if s.Environment["VIEWRING_VIEWLEADER"] != group || s.Command[0] == "viewleader" && !slices.Contains(s.Command, "--peers="+group) {
			t.Errorf("%s does not know the group %s: %q, %q", name, group, s.Command, s.Environment)
		}
	}
}

// TestCompose: the processes of the compose files, with their environments and command lines, are a
// cluster; only hosts and folders are others here.
func TestCompose(t *testing.T) {
	harness.Slow(t)
	for _, isTLS := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", isTLS), func(t *testing.T) {
			s := harness.NewShell(t, "")
			plain, tls := readCompose(t, "compose.yaml"), readCompose(t, "compose.tls.yaml")
			names := slices.Sorted(maps.Keys(plain.Services))
			s.OK(append([]string{"certs", "make", "certs"}, names...)...)
			addrs, metrics, gateways := map[string]string{}, map[string]string{}, map[string]string{}
			var known []string // what is called otherwise here
			for _, name := range names {
				addrs[name], metrics[name], gateways[name] = harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)
				known = append(known, name+":28500", addrs[name], name+":28600", addrs[name])
			}
			var clients *harness.Shell
			processes := map[string]*harness.Daemon{}
			for _, name := range names {
				there := strings.NewReplacer(append(known, "0.0.0.0:28500", addrs[name], "0.0.0.0:28600", addrs[name], "0.0.0.0:28400", gateways[name],
					"0.0.0.0:9100", metrics[name], "/data", filepath.Join(s.Dir, name), "/certs", filepath.Join(s.Dir, "certs"))...)
				env := imageEnv(t)
				maps.Copy(env, plain.Services[name].Environment)
				if isTLS {
					maps.Copy(env, tls.Services[name].Environment)
				}
				var list, args []string
				for key, value := range env {
					list = append(list, key+"="+there.Replace(value))
				}
				for _, arg := range plain.Services[name].Command {
					args = append(args, there.Replace(arg))
				}
				clients = s.With(list...)
				processes[name] = clients.Start(args...)
			}
			for _, name := range names {
				for _, path := range []string{"/readyz", "/healthz"} {
					harness.Eventually(t, name+path, func() bool { return isOK("http://" + metrics[name] + path) })
				}
			}
			clients.OK("setr", "greeting", "hello")
			harness.Eventually(t, "five servers have all copies", func() bool {
				said := clients.Run("", "query_servers").Stdout
				return strings.Contains(said, "5 servers") && strings.Contains(said, "have all 3 copies; rebalanced")
			})
			if got := clients.OK("viewleaders"); strings.Count(got, " up") < 3 {
				t.Errorf("view leaders: %s", got)
			}
		})
	}
}

func isOK(url string) bool {
	resp, err := http.Get(url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// units are those of the folder, by name.
func units(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(deploy + "systemd/*.service")
	if err != nil || len(files) != 2 {
		t.Fatalf("units %q, %v", files, err)
	}
	all := map[string]string{}
	for _, f := range files {
		all[filepath.Base(f)] = string(readDeploy(t, "systemd/"+filepath.Base(f)))
	}
	return all
}

// TestSystemdUnits: systemd finds nothing wrong with the units, and little that they could do harm with.
func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze")
	}
	dir := t.TempDir()
	var files []string
	for name, text := range units(t) {
		files = append(files, filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "/usr/local/bin/viewring", harness.Program())), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(program, append([]string{"verify", "--man=no"}, files...)...).CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	sysusers := filepath.Join(dir, "etc", "sysusers.d")
	if err := os.MkdirAll(sysusers, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sysusers, "viewring.conf"), readDeploy(t, "systemd/viewring.conf"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-sysusers", "--root="+dir, "--dry-run").CombinedOutput(); err != nil || !strings.Contains(string(out), "viewring") {
		t.Errorf("systemd-sysusers: %v\n%s", err, out)
	}
	for _, f := range files {
		if out, err := exec.Command(program, "security", "--offline=yes", "--threshold=25", f).CombinedOutput(); err != nil {
			t.Errorf("systemd-analyze security: %v\n%s", err, out)
		}
	}
}

// TestUnitsRun: with the environments and command lines of the units and the configuration file
// beside them, each process gets ready, and commands find the cluster by the same file. Only
// addresses and folders are others here, and one view leader is enough.
func TestUnitsRun(t *testing.T) {
	t.Parallel()
	leader, server := harness.FreeAddr(t), harness.FreeAddr(t)
	s := harness.NewShell(t, "")
	s.OK("certs", "make", "etc", "10.0.0.1,127.0.0.1")
	there := strings.NewReplacer("[10.0.0.1:28500, 10.0.0.2:28500, 10.0.0.3:28500]", "["+leader+"]", "10.0.0.1:28500", leader, "10.0.0.1:28600", server,
		"127.0.0.1:9501", harness.FreeAddr(t), "127.0.0.1:9601", harness.FreeAddr(t), "/etc/viewring", filepath.Join(s.Dir, "etc"), "/var/lib/viewring", s.Dir, "%i", "s1")
	if err := os.WriteFile(filepath.Join(s.Dir, "etc", "viewring.yaml"), []byte(there.Replace(string(readDeploy(t, "viewring.yaml")))), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := s.With("VIEWRING_CONFIG=" + filepath.Join(s.Dir, "etc", "viewring.yaml"))
	for _, name := range []string{"viewring-viewleader.service", "viewring-server@.service"} {
		text := there.Replace(units(t)[name])
		var env []string
		for _, m := range regexp.MustCompile(`(?m)^Environment=(.*)$`).FindAllStringSubmatch(text, -1) {
			env = append(env, m[1])
		}
		start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/viewring (.*)$`).FindStringSubmatch(text)
		m := newManager(t, s, name+".sock")
		d := m.start(s.With(env...), strings.Fields(start[1])...)
		m.heard.Wait(t, "READY=1", d.Done)
	}
	commands.OK("setr", "greeting", "hello")
	for _, name := range []string{"viewleader", "s1"} {
		if _, err := os.Stat(filepath.Join(s.Dir, name)); err != nil {
			t.Error(err)
		}
	}
}
