package authority

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writing are files that are all written, or none.
type writing struct {
	dir   string
	files []file
}

type file struct {
	name string
	text []byte
}

func (w *writing) add(name string, text []byte) { w.files = append(w.files, file{name, text}) }

func (w *writing) addKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err == nil {
		w.add(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	return err
}

// create writes files that are not there yet. After an error there are none of them.
func (w *writing) create() error {
	for _, f := range w.files { // before one is written
		if _, err := os.Lstat(w.path(f)); err == nil {
			return fmt.Errorf("%s: %w", w.path(f), ErrExists)
		}
	}
	for i, f := range w.files {
		if err := write(w.path(f), f.text); err != nil {
			for _, f := range w.files[:i] {
				err = errors.Join(err, os.Remove(w.path(f)))
			}
			return err
		}
	}
	return nil
}

// replace writes files beside those that are there, and then puts them in their places.
func (w *writing) replace() error {
	for i, f := range w.files {
		if err := errors.Join(ignoreMissing(os.Remove(w.path(f)+".new")), write(w.path(f)+".new", f.text)); err != nil {
			for _, f := range w.files[:i] {
				err = errors.Join(err, os.Remove(w.path(f)+".new"))
			}
			return err
		}
	}
	for _, f := range w.files {
		if err := os.Rename(w.path(f)+".new", w.path(f)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) path(f file) string { return filepath.Join(w.dir, f.name) }

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// write writes a file that is not there yet, for its owner alone. After an error it is not there.
func write(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", name, ErrExists)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}
