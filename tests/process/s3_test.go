package process

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"viewring/tests/harness"
)

// TestS3Keys: keys are added, listed and removed, under the cluster's password or a file of its own, and not without.
func TestS3Keys(t *testing.T) {
	t.Parallel()
	t.Run("plain", func(t *testing.T) {
		s, _ := harness.Up(t, "--servers", "2")
		s.Fails(2, "--s3-secret-file", "s3", "key", "add", "a")
		secret := filepath.Join(s.Dir, "secret")
		if err := os.WriteFile(secret, []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Fails(4, "no such file", "s3", "key", "add", "a", "--s3-secret-file", secret+"-not")
		testS3Keys(t, s, "--s3-secret-file", secret)
	})
	t.Run("password", func(t *testing.T) {
		secrets := harness.NewSecrets(t).Flags()
		s, _ := harness.Up(t, append([]string{"--servers", "2"}, secrets...)...)
		testS3Keys(t, s, secrets...)
		// The same in a server, with TLS: a front with the password knows its keys.
		addr := harness.FreeAddr(t)
		server := s.Start(append([]string{"server", "--listen", harness.FreeAddr(t), "--data", s.Dir + "/with-front", "--http", addr}, secrets...)...)
		server.Stderr.Wait(t, "http front is up", server.Done)
		insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // whose certificate it is does not matter here
		harness.Eventually(t, "an unsigned request of S3 is refused as one", func() bool {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Amz-Date", "x")
			res, err := insecure.Do(r)
			if err != nil {
				return false
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			return err == nil && res.StatusCode == http.StatusForbidden && bytes.Contains(b, []byte("<Code>AccessDenied</Code>"))
		})
	})
}

func testS3Keys(t *testing.T, s *harness.Shell, flags ...string) {
	t.Helper()
	run := func(words ...string) string { t.Helper(); return s.OK(append(words, flags...)...) }
	fails := func(code int, text string, words ...string) {
		t.Helper()
		s.Fails(code, text, append(words, flags...)...)
	}
	if out := run("s3", "key", "list"); out != "there is no key\n" {
		t.Errorf("%q", out)
	}
	var key struct {
		KeyID   string   `json:"key_id"`
		Secret  string   `json:"secret"`
		Buckets []string `json:"buckets"`
	}
	if err := json.Unmarshal([]byte(run("s3", "key", "add", "backup", "--bucket", "one", "--bucket", "two", "--json")), &key); err != nil || len(key.Buckets) != 2 || len(key.KeyID) != 20 || len(key.Secret) != 40 {
		t.Errorf("%+v, %v", key, err)
	}
	if out := run("s3", "key", "add", "all"); !strings.HasPrefix(out, "key id  VR") || !strings.Contains(out, "\nsecret  ") {
		t.Errorf("%q", out)
	}
	if out := run("s3", "key", "list"); !strings.Contains(out, key.KeyID) || !strings.Contains(out, "one, two") || strings.Contains(out, key.Secret) {
		t.Errorf("%q", out)
	}
	if out := run("s3", "key", "list", "--json"); !strings.Contains(out, `"key_id":"`+key.KeyID+`"`) || strings.Contains(out, "secret") {
		t.Errorf("%q", out)
	}
	fails(4, "there is an S3 key of that name", "s3", "key", "add", "all")
	fails(2, "1 to 64 letters", "s3", "key", "add", "a/b")
	fails(2, "unknown command", "s3", "key", "change")
	fails(2, "a command is missing", "s3", "key")
	run("s3", "key", "remove", "backup")
	fails(1, "no such S3 key", "s3", "key", "remove", "backup")
	run("s3", "key", "remove", "all")
}
