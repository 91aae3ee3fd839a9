package authority

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func hosts(t *testing.T, texts ...string) (list []Host) {
	t.Helper()
	for _, text := range texts {
		h, err := ParseHost(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h)
	}
	return list
}

// verify checks one certificate as the other side of a connection does.
func verify(t *testing.T, dir, name, host string, usage x509.ExtKeyUsage, at time.Time) error {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: at})
	return err
}

const (
	asServer = x509.ExtKeyUsageServerAuth
	asClient = x509.ExtKeyUsageClientAuth
)

// TestFolder: each certificate is good for its hosts, for what it is for, and for as long as it
// lasts; renewed and added ones too.
func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	day := 24 * time.Hour
	_, err := Make(dir, hosts(t, "10.0.0.1", "s2.example.com,10.0.0.2,fd00::2", "*.example.org"), 10*day, 100*day)
	if err != nil {
		t.Fatal(err)
	}
	check := func(lasts time.Duration) {
		t.Helper()
		now := time.Now()
		for _, tt := range []struct {
			name, host string
			usage      x509.ExtKeyUsage
			at         time.Time
			good       bool
		}{
			{"10.0.0.1", "10.0.0.1", asServer, now, true}, {"10.0.0.1", "", asClient, now, true}, {"10.0.0.1", "10.0.0.2", asServer, now, false},
			{"10.0.0.1", "localhost", asServer, now, true}, {"10.0.0.1", "127.0.0.1", asServer, now, true}, {"10.0.0.1", "::1", asServer, now, true},
			{"s2.example.com", "s2.example.com", asServer, now, true}, {"s2.example.com", "fd00::2", asServer, now, true}, {"s2.example.com", "s3.example.com", asServer, now, false},
			{"_.example.org", "x.example.org", asServer, now, true}, {"client", "", asClient, now, true}, {"client", "", asServer, now, false},
			{"10.0.0.1", "", asClient, now.Add(-30 * time.Minute), true}, {"10.0.0.1", "", asClient, now.Add(lasts - time.Hour), true},
			{"10.0.0.1", "", asClient, now.Add(lasts + time.Minute), false},
		} {
			if err := verify(t, dir, tt.name, tt.host, tt.usage, tt.at); (err == nil) != tt.good {
				t.Errorf("%+v: %v", tt, err)
			}
		}
	}
	check(10 * day)
	before, err := os.ReadFile(filepath.Join(dir, "10.0.0.1.key"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := f.Renew(nil, 20*day); err != nil || len(list) != 4 {
		t.Errorf("renewed %v, %v", list, err)
	}
	check(20 * day)
	if after, err := os.ReadFile(filepath.Join(dir, "10.0.0.1.key")); err != nil || string(after) == string(before) {
		t.Errorf("the key was not renewed: %v", err)
	}
	if err := f.Add(hosts(t, "10.0.0.4"), day); err != nil || verify(t, dir, "10.0.0.4", "10.0.0.4", asServer, time.Now()) != nil {
		t.Errorf("an added one: %v", err)
	}
	if list, err := f.List(); err != nil || len(list) != 6 || list[0].Name != "ca" || !slices.Contains(list[2].Hosts, "10.0.0.4") {
		t.Errorf("list: %v, %v", list, err)
	}
	password, err := os.ReadFile(f.Password())
	if err != nil || len(strings.TrimSpace(string(password))) < 20 {
		t.Errorf("password %q, %v", password, err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 2*6+1 {
		t.Errorf("files: %q, %v", names, err)
	}
	for _, name := range append(names, dir) {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v: others may read it", name, info.Mode(), err)
		}
	}
}

// TestNothingIsReplaced: what is there stays, byte for byte, and what failed leaves nothing behind.
func TestNothingIsReplaced(t *testing.T) {
	for _, name := range []string{"ca.key", "ca.pem", "client.key", "h.pem", "password"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Make(dir, hosts(t, "h"), time.Hour, 2*time.Hour); !errors.Is(err, ErrExists) {
			t.Errorf("beside %s: %v", name, err)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 {
			t.Errorf("beside %s: %v", name, files)
		}
	}
	dir := t.TempDir()
	f, err := Make(dir, hosts(t, "h"), time.Hour, 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Add(hosts(t, "new", "h"), time.Hour); !errors.Is(err, ErrExists) {
		t.Errorf("one that is there is added: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new.pem")); err == nil {
		t.Error("the other one was made")
	}
	if _, err := f.Renew([]string{"h", "nosuch"}, time.Hour); !errors.Is(err, ErrNone) {
		t.Errorf("one that is not there is renewed: %v", err)
	}
	if _, err := f.Renew(nil, 3*time.Hour); err == nil || !strings.Contains(err.Error(), "the authority expires") {
		t.Errorf("beyond the authority's end: %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNone) {
		t.Errorf("an empty folder: %v", err)
	}
	for _, text := range []string{"", "a:1", "a b", "a,,b", "ca", "client", "-x", "a/b", "../x", "*", "10.0.0.1/8", strings.Repeat("x", 64)} {
		if h, err := ParseHost(text); err == nil {
			t.Errorf("%q is a host: %v", text, h)
		}
	}
}
