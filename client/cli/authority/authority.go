package authority

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Client is the name of the certificate of people's commands.
const Client = "client"

// The files of a folder, beside NAME.pem and NAME.key of each certificate.
const (
	authorityName = "ca"
	passwordFile  = "password"
)

// skew is how far the clocks of hosts may be behind that of the one which makes certificates.
const skew = time.Hour

var (
	// ErrExists is wrapped where a file would be replaced.
	ErrExists = errors.New("it exists already")
	// ErrNone is wrapped where a folder has no such certificate, or no authority.
	ErrNone = errors.New("there is none")
)

// Certificate is one that a folder has.
type Certificate struct {
	Name    string
	Hosts   []string // none: for commands, and of the authority
	Expires time.Time
	Cert    string // files
	Key     string
}

// Folder is a folder with an authority.
type Folder struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

// Host is who a certificate is for.
type Host struct {
	Name  string   // of its files
	Names []string // DNS names and IP addresses
}

// ParseHost reads NAME[,NAME…]: names and IP addresses of one host. The first names its files.
func ParseHost(text string) (Host, error) {
	var h Host
	for name := range strings.SplitSeq(text, ",") {
		name = strings.Trim(strings.TrimSpace(name), "[]")
		if net.ParseIP(name) == nil && !isDNSName(name) {
			return h, fmt.Errorf("%q is no host: say names and IP addresses, without ports", name)
		}
		h.Names = append(h.Names, name)
	}
	h.Name = strings.NewReplacer(":", "_", "*", "_").Replace(h.Names[0])
	if h.Name == authorityName || h.Name == Client {
		return h, fmt.Errorf("a host can't be called %q: files of that name are something else; say its whole name", h.Name)
	}
	for _, local := range []string{"localhost", "127.0.0.1", "::1"} {
		if !slices.Contains(h.Names, local) {
			h.Names = append(h.Names, local)
		}
	}
	return h, nil
}

func isDNSName(name string) bool {
	for i, label := range strings.Split(name, ".") {
		if label == "*" && i == 0 && strings.Contains(name, ".") {
			continue
		}
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return len(name) <= 253
}

// Make makes an authority, certificates and a password in a folder that has none of them.
func Make(dir string, hosts []Host, lasts, authorityLasts time.Duration) (*Folder, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "viewring authority " + now.UTC().Format("2006-01-02")}, NotBefore: now.Add(-skew), NotAfter: now.Add(authorityLasts),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	f := &Folder{dir: dir, key: key}
	if f.cert, f.pem, err = sign(template, template, key.Public(), key); err != nil {
		return nil, err
	}
	all := writing{dir: dir}
	all.add(authorityName+".pem", f.pem)
	if err := all.addKey(authorityName, key); err != nil {
		return nil, err
	}
	all.add(passwordFile, []byte(rand.Text()+"\n"))
	if err := f.issue(&all, append(slices.Clone(hosts), Host{Name: Client}), lasts); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return f, all.create()
}

// Open opens a folder that Make has made.
func Open(dir string) (*Folder, error) {
	f := &Folder{dir: dir}
	pair, err := tls.LoadX509KeyPair(f.path(authorityName+".pem"), f.path(authorityName+".key"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("authority of %s: %w (%w)", dir, ErrNone, err)
	}
	if err != nil {
		return nil, fmt.Errorf("authority of %s: %w", dir, err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("authority of %s: its certificate is not one of an authority", dir)
	}
	f.cert, f.key = pair.Leaf, key
	f.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Leaf.Raw})
	return f, nil
}

// Add makes certificates for further hosts.
func (f *Folder) Add(hosts []Host, lasts time.Duration) error {
	all := writing{dir: f.dir}
	if err := f.issue(&all, hosts, lasts); err != nil {
		return err
	}
	return all.create()
}

// Renew makes new certificates and keys for the hosts of those of these names, or of all. A
// process that reads a key and a certificate that do not belong together reads both again.
func (f *Folder) Renew(names []string, lasts time.Duration) ([]Certificate, error) {
	there, err := f.List()
	if err != nil {
		return nil, err
	}
	var hosts []Host
	for _, c := range there {
		if c.Name != authorityName && (len(names) == 0 || slices.Contains(names, c.Name)) {
			hosts = append(hosts, Host{c.Name, c.Hosts})
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(hosts, func(h Host) bool { return h.Name == name }) {
			return nil, fmt.Errorf("certificate %q in %s: %w", name, f.dir, ErrNone)
		}
	}
	all := writing{dir: f.dir}
	if err := f.issue(&all, hosts, lasts); err != nil {
		return nil, err
	}
	if err := all.replace(); err != nil {
		return nil, err
	}
	now, err := f.List()
	return slices.DeleteFunc(now, func(c Certificate) bool {
		return !slices.ContainsFunc(hosts, func(h Host) bool { return h.Name == c.Name })
	}), err
}

// List returns the certificates of the folder, that of the authority first.
func (f *Folder) List() ([]Certificate, error) {
	files, err := filepath.Glob(f.path("*.pem"))
	if err != nil {
		return nil, err
	}
	var list []Certificate
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("%s: no certificate is in it", file)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		c := Certificate{Name: strings.TrimSuffix(filepath.Base(file), ".pem"), Hosts: cert.DNSNames, Expires: cert.NotAfter, Cert: file, Key: strings.TrimSuffix(file, ".pem") + ".key"}
		for _, ip := range cert.IPAddresses {
			c.Hosts = append(c.Hosts, ip.String())
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Certificate) int {
		if (a.Name == authorityName) != (b.Name == authorityName) {
			return cmp.Compare(b.rank(), a.rank())
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, nil
}

// rank is higher for the authority.
func (c *Certificate) rank() int {
	if c.Name == authorityName {
		return 1
	}
	return 0
}

// Password is the file that has the password.
func (f *Folder) Password() string { return f.path(passwordFile) }

func (f *Folder) path(name string) string { return filepath.Join(f.dir, name) }

// issue signs certificates that others believe as long as they believe the authority.
func (f *Folder) issue(all *writing, hosts []Host, lasts time.Duration) error {
	now := time.Now()
	end := now.Add(lasts)
	if end.After(f.cert.NotAfter) {
		return fmt.Errorf("the authority expires on %s, before a certificate that lasts %.0f days: say fewer --days, or make another authority",
			f.cert.NotAfter.Format(time.DateOnly), lasts.Hours()/24)
	}
	for _, h := range hosts {
		key, err := newKey()
		if err != nil {
			return err
		}
		template := &x509.Certificate{
			Subject: pkix.Name{CommonName: h.Name}, NotBefore: now.Add(-skew), NotAfter: end, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		if h.Name != Client {
			template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		}
		for _, name := range h.Names {
			if ip := net.ParseIP(name); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, name)
			}
		}
		_, text, err := sign(template, f.cert, key.Public(), f.key)
		if err != nil {
			return fmt.Errorf("certificate for %s: %w", h.Name, err)
		}
		if err := all.addKey(h.Name, key); err != nil {
			return err
		}
		all.add(h.Name+".pem", text)
	}
	return nil
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// sign returns a certificate, and as PEM.
func sign(template, by *x509.Certificate, key crypto.PublicKey, byKey crypto.Signer) (*x509.Certificate, []byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, by, key, byKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}
