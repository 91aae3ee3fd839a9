// Package s3keys keeps the keys with which clients of S3 sign their requests, in the store of a cluster. Signatures need
// the secret itself, so it is kept encrypted: with AES-256-GCM (NIST SP 800-38D), under a key that PBKDF2 (RFC 8018, 5.2)
// derives from a secret that is not in the store, the cluster's password or one of a file.
package s3keys

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"strings"
	"time"

	"viewring/client"
	"viewring/client/file"
)

var (
	// ErrNoKey: there is no such key.
	ErrNoKey = errors.New("no such S3 key")
	// ErrExists: there is a key of that name.
	ErrExists = errors.New("there is an S3 key of that name")
	// ErrSealed: the key was added with another password, or its entry was changed.
	ErrSealed = errors.New("the S3 key was added with another password or secret file, or its entry was changed")
	// ErrNoSecret: there is nothing to encrypt secrets with.
	ErrNoSecret = errors.New("S3 keys are kept encrypted: give the cluster a password (--password-file), or all fronts and commands the same --s3-secret-file")
	// ErrBadName: a name is 1 to 64 letters, digits and any of ._- and does not begin with a dot.
	ErrBadName = errors.New("the name of an S3 key is 1 to 64 letters, digits and any of . _ - and does not begin with a dot")
	// ErrBadBucket: no bucket has such a name.
	ErrBadBucket = errors.New("the name of a bucket has 3 to 63 lower-case letters, digits, dots and hyphens, begins and ends with a letter or a digit, and is no IP address")
)

// Where keys are: an entry for each id, and one for each name that says the id. No bucket begins with a dot.
const (
	keysDir  = "/.s3/keys"
	namesDir = "/.s3/names"
)

const (
	format     = 1
	entryMax   = 64 << 10 // bytes
	bucketsMax = 100
	iterations = 210_000 // of PBKDF2: words that people choose are tried slowly then
	idBytes    = 11      // random, 18 letters
	secretLen  = 30      // random bytes, 40 letters
	saltLen    = 16
)

// Key is one with which requests are signed.
type Key struct {
	ID      string // AWS_ACCESS_KEY_ID
	Name    string // for people
	Secret  string // AWS_SECRET_ACCESS_KEY; "" in lists
	Buckets []string
	Created time.Time
}

// Store has the keys of a cluster. Any number of goroutines may use it.
type Store struct {
	files  *file.FS
	secret string
	rounds int // of PBKDF2
}

// NewStore returns the keys in a cluster's files, whose secrets are encrypted with what is
// derived from secret. With "" keys can only be listed and removed.
func NewStore(files *file.FS, secret string) *Store { return &Store{files, secret, iterations} }

// entry is a key as it is stored, in JSON.
type entry struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Buckets []string  `json:"buckets,omitempty"`
	Created time.Time `json:"created"`
	Salt    []byte    `json:"salt"`
	Nonce   []byte    `json:"nonce"`
	Sealed  []byte    `json:"sealed"`
}

// cipher returns what the secret of an entry is encrypted with.
func (s *Store) cipher(e *entry) (cipher.AEAD, error) {
	if s.secret == "" {
		return nil, ErrNoSecret
	}
	key, err := pbkdf2.Key(sha256.New, s.secret, e.Salt, s.rounds, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive the key: %w", err)
	}
	return cipher.NewGCM(block)
}

// bound is what an encrypted secret belongs to: in another entry, or with other buckets, it is not decrypted.
func (e *entry) bound() []byte {
	open := *e
	open.Salt, open.Nonce, open.Sealed = nil, nil, nil
	b, err := json.Marshal(open)
	if err != nil {
		panic("invariant: an entry is JSON: " + err.Error())
	}
	return append([]byte("viewring s3 key\x00"), b...)
}

func (e *entry) key() Key {
	return Key{ID: e.ID, Name: e.Name, Buckets: e.Buckets, Created: e.Created}
}

// checkName tells what is wrong with a name.
func checkName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if len(name) < 1 || len(name) > 64 || name[0] == '.' || strings.Trim(name, letters) != "" {
		return fmt.Errorf("%w: not %q", ErrBadName, name)
	}
	return nil
}

// IsBucket tells whether a name may be that of a bucket (S3 User Guide, "General purpose bucket naming rules").
func IsBucket(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return false
	}
	if strings.ContainsAny(name[:1]+name[len(name)-1:], ".-") || strings.Contains(name, "..") {
		return false
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}

// IsID tells whether a text may be the id of a key.
func IsID(text string) bool {
	return len(text) == 20 && strings.HasPrefix(text, "VR") && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// Add makes a key, for some buckets or, with none, for all. The secret is told once. A name that is taken is ErrExists.
func (s *Store) Add(ctx context.Context, name string, buckets []string) (Key, error) {
	if err := checkName(name); err != nil {
		return Key{}, err
	}
	for _, b := range buckets {
		if !IsBucket(b) {
			return Key{}, fmt.Errorf("%w: not %q", ErrBadBucket, b)
		}
	}
	if len(buckets) > bucketsMax {
		return Key{}, fmt.Errorf("%w: an S3 key is for %d buckets at most, or for all", client.ErrRefused, bucketsMax)
	}
	random := make([]byte, idBytes+secretLen+saltLen+12)
	_, _ = rand.Read(random) // never fails
	e := &entry{Format: format, Name: name, Buckets: buckets, Created: time.Now().UTC().Truncate(time.Second)}
	e.ID = "VR" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:idBytes])
	random = random[idBytes:]
	secret := base64.RawURLEncoding.EncodeToString(random[:secretLen])
	e.Salt, e.Nonce = random[secretLen:secretLen+saltLen], random[secretLen+saltLen:]
	box, err := s.cipher(e)
	if err != nil {
		return Key{}, err
	}
	e.Sealed = box.Seal(nil, e.Nonce, []byte(secret), e.bound())
	text, err := json.Marshal(e)
	if err != nil {
		return Key{}, fmt.Errorf("S3 key: %w", err)
	}
	// The name is taken first: where this ends in between, remove finds it.
	opts := file.PutOptions{IfAbsent: true, Parents: true}
	_, err = s.files.Put(ctx, namesDir+"/"+name, strings.NewReader(e.ID), opts)
	if errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("%w: %s", ErrExists, name)
	}
	if err == nil {
		_, err = s.files.Put(ctx, keysDir+"/"+e.ID, bytes.NewReader(text), opts)
	}
	if err != nil {
		return Key{}, fmt.Errorf("S3 key: %w", err)
	}
	k := e.key()
	k.Secret = secret
	return k, nil
}

// read reads a short file.
func (s *Store) read(ctx context.Context, path string) ([]byte, error) {
	var b bytes.Buffer
	info, err := s.files.GetRange(ctx, path, &b, 0, entryMax)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrNoKey
	case err == nil && info.Bytes > entryMax:
		err = fmt.Errorf("%w: %s has %d bytes", ErrSealed, path, info.Bytes)
	}
	return b.Bytes(), err
}

func (s *Store) entry(ctx context.Context, id string) (*entry, error) {
	b, err := s.read(ctx, keysDir+"/"+id)
	if err != nil {
		return nil, err
	}
	e := &entry{}
	if err := json.Unmarshal(b, e); err != nil || e.Format != format || e.ID != id {
		return nil, fmt.Errorf("%w: the entry of %s is not readable by this build", ErrSealed, id)
	}
	return e, nil
}

// Lookup returns a key with its secret. One that is absent is ErrNoKey, one that can't be decrypted ErrSealed.
func (s *Store) Lookup(ctx context.Context, id string) (Key, error) {
	if !IsID(id) {
		return Key{}, ErrNoKey
	}
	e, err := s.entry(ctx, id)
	if err != nil {
		return Key{}, err
	}
	k, err := s.open(e)
	if err == nil {
		err = s.named(ctx, e)
	}
	if err != nil {
		return Key{}, err
	}
	return k, nil
}

// named looks whether the name of a key says it. Else it was removed while it was added: ErrNoKey.
func (s *Store) named(ctx context.Context, e *entry) error {
	if checkName(e.Name) != nil { // it was changed
		return fmt.Errorf("%w: %s", ErrSealed, e.ID)
	}
	id, err := s.read(ctx, namesDir+"/"+e.Name)
	if err == nil && string(id) != e.ID {
		err = ErrNoKey
	}
	return err
}

// open decrypts the secret of an entry.
func (s *Store) open(e *entry) (Key, error) {
	box, err := s.cipher(e)
	if err != nil {
		return Key{}, err
	}
	if len(e.Nonce) != box.NonceSize() {
		return Key{}, fmt.Errorf("%w: %s", ErrSealed, e.ID)
	}
	secret, err := box.Open(nil, e.Nonce, e.Sealed, e.bound())
	if err != nil {
		return Key{}, fmt.Errorf("%w: %s", ErrSealed, e.ID)
	}
	k := e.key()
	k.Secret = string(secret)
	return k, nil
}

// List tells of all keys, without their secrets, in no order that means anything. An error ends it.
func (s *Store) List(ctx context.Context) iter.Seq2[Key, error] {
	return func(yield func(Key, error) bool) {
		for i, err := range s.files.List(ctx, namesDir) {
			if errors.Is(err, fs.ErrNotExist) {
				return
			}
			if err != nil {
				yield(Key{}, err)
				return
			}
			id, err := s.read(ctx, i.Path)
			if errors.Is(err, ErrNoKey) {
				continue
			}
			k := Key{Name: i.Name(), ID: string(id)}
			if err == nil {
				var e *entry
				if e, err = s.entry(ctx, k.ID); err == nil {
					k = e.key()
				} else if errors.Is(err, ErrNoKey) { // half added, or half removed
					err = nil
				}
			}
			if !yield(k, err) || err != nil {
				return
			}
		}
	}
}

// Remove removes the key of a name. Fronts that know it refuse it a few seconds later.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	id, err := s.read(ctx, namesDir+"/"+name)
	if err != nil {
		return fmt.Errorf("%w: %s", err, name)
	}
	if IsID(string(id)) {
		if err := s.files.Remove(ctx, keysDir+"/"+string(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("S3 key: %w", err)
		}
	}
	if err := s.files.Remove(ctx, namesDir+"/"+name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("S3 key: %w", err)
	}
	return nil
}
