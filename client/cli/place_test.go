package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"viewring/client/admin"
	"viewring/ring"
)

// TestAgreed: only a yes from a terminal is one, and nobody is asked where none is.
func TestAgreed(t *testing.T) {
	for _, tt := range []struct {
		typed          string
		terminal, json bool
		agrees, asked  bool
	}{
		{"y\n", true, false, true, true},
		{" YES \n", true, false, true, true},
		{"\n", true, false, false, true},
		{"", true, false, false, true},
		{"yesterday\n", true, false, false, true},
		{"y\n", false, false, false, false},
		{"y\n", true, true, false, false},
	} {
		var said bytes.Buffer
		a := &app{env: Env{Stdin: strings.NewReader(tt.typed), StdinTerminal: tt.terminal, Stderr: &said}}
		a.flags.json = tt.json
		err := a.agreed(t.Context(), "set-weight")
		var code codeError
		if (err == nil) != tt.agrees || said.Len() > 0 != tt.asked || err != nil && (!errors.As(err, &code) || code.code != exitRefused) {
			t.Errorf("%+v: %v, %q", tt, err, said.String())
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	read, write := io.Pipe()
	defer write.Close()
	a := &app{env: Env{Stdin: read, StdinTerminal: true, Stderr: &bytes.Buffer{}}}
	if err := a.agreed(over, "set-zone"); err == nil {
		t.Error("an interrupt is taken for a yes")
	}
}

// TestWaitsForThoseDown: where something else is missing too, the copies on servers that are down are named.
func TestWaitsForThoseDown(t *testing.T) {
	v := &ring.View{Members: []ring.Member{{ID: 1, Up: true, Status: ring.In}, {ID: 2, Status: ring.In}, {ID: 3, Up: true, Status: ring.In}},
		Partitions: []ring.Partition{{Acting: []ring.ServerID{1, 3}}, {Acting: []ring.ServerID{1}}}}
	st := &admin.Status{View: v}
	var err error
	if st.Table, err = admin.TableOf(v); err != nil {
		t.Fatal(err)
	}
	if got := problemsOf(st, time.Now()); len(got) != 1 || got[0] != (problem{"s2", "it is down, and 2 copies of partitions wait for it"}) {
		t.Errorf("%+v", got)
	}
	v.Partitions[1].Acting = []ring.ServerID{1, 3}
	if got := problemsOf(st, time.Now()); len(got) != 0 { // the verdict says so
		t.Errorf("%+v", got)
	}
}
