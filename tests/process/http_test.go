package process

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"viewring/tests/harness"
)

// An HTTP front, alone or in a server, with TLS and a password or without, has the files of
// 'viewring file'.
func TestHTTP(t *testing.T) {
	t.Parallel()
	t.Run("plain", func(t *testing.T) { testHTTP(t, nil) })
	t.Run("encrypted", func(t *testing.T) { testHTTP(t, harness.NewSecrets(t)) })
}

func testHTTP(t *testing.T, secrets *harness.Secrets) {
	var flags []string
	scheme, user := "http", http.DefaultTransport.(*http.Transport).Clone()
	if secrets != nil {
		flags, scheme = secrets.Flags(), "https"
		config := secrets.TLS(t)
		config.Certificates = nil // people's programs have none
		user.TLSClientConfig = config
	}
	defer user.CloseIdleConnections()
	ask := func(password, method, addr, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, scheme+"://"+addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if secrets != nil {
			r.SetBasicAuth("anybody", password)
		}
		res, err := user.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	s, _ := harness.Up(t, append([]string{"--servers", "2"}, flags...)...)
	alone, inside := harness.FreeAddr(t), harness.FreeAddr(t)
	front := s.Start(append([]string{"http", "--listen", alone}, flags...)...)
	server := s.Start(append([]string{"server", "--listen", harness.FreeAddr(t), "--data", s.Dir + "/with-front", "--http", inside}, flags...)...)
	for _, d := range []*harness.Daemon{front, server} {
		d.Stderr.Wait(t, "http front is up", d.Done)
	}
	for path, addr := range map[string]string{"/alone": alone, "/inside": inside} {
		harness.Eventually(t, "it has found the cluster", func() bool { status, _ := ask("open sesame", "GET", addr, "/?health", ""); return status == 200 })
		if status, body := ask("open sesame", "PUT", addr, path+"/file", "by HTTP"); status != 201 {
			t.Fatalf("%s: %d %s", path, status, body)
		}
		if got := s.OK(append([]string{"file", "cat", path + "/file"}, flags...)...); got != "by HTTP" {
			t.Errorf("%s: %q", path, got)
		}
		if secrets != nil {
			if status, _ := ask("guess", "GET", addr, path+"/file", ""); status != 401 {
				t.Errorf("%s: a wrong password: %d", path, status)
			}
			plain, err := http.Get("http://" + addr + "/")
			if err == nil && plain.StatusCode != 400 {
				t.Errorf("%s: without TLS: %v", path, plain.Status)
			}
			wrong := user.Clone()
			wrong.TLSClientConfig.Certificates = []tls.Certificate{strange(t)}
			if res, err := wrong.RoundTrip(newGet(t, scheme+"://"+addr+"/")); err == nil {
				t.Errorf("%s: a stranger's certificate: %v", path, res.Status)
			}
		}
	}
	for _, d := range []*harness.Daemon{front, server} {
		_ = d.Cmd.Process.Signal(syscall.SIGTERM)
		<-d.Done
		if code := d.Cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%v: exit %d", d.Cmd.Args, code)
		}
	}
}

func newGet(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// strange is a certificate of somebody else's CA.
func strange(t *testing.T) tls.Certificate {
	t.Helper()
	other := harness.NewSecrets(t)
	cert, err := tls.LoadX509KeyPair(other.Cert, other.Key)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
