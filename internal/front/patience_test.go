package front

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/wire"
)

// TestSlowCommand: a command may take its time as long as it comes at some rate.
func TestSlowCommand(t *testing.T) {
	for _, one := range []struct {
		bytes int // of each piece, one a second
		want  string
	}{{requestRate + 100, "PING"}, {1000, "the rest of a command did not come within 30s"}} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, nil)
			c, client := pipe(t, s)
			go c.Serve()
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				_, err := fmt.Fprintf(client, "*2\r\n$4\r\nPING\r\n$%d\r\n", 100*one.bytes)
				for i := 0; i < 100 && err == nil; i++ {
					<-tick.C
					_, err = client.Write(make([]byte, one.bytes))
				}
				if err == nil {
					_, _ = io.WriteString(client, "\r\n") // the answer tells
				}
			}()
			v, err := wire.NewReader(client, wire.DefaultLimits).ReadValue()
			if err != nil || !strings.HasSuffix(v.Text(), one.want) {
				t.Errorf("%d bytes a second: %q, %v", one.bytes, v.Text(), err)
			}
			client.Close()
			<-sent
		})
	}
}

// TestStoodStill: a part of a command that has come while the process stood still is looked
// at, however late.
func TestStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pipe(t, newServer(t, nil))
		c.patience.begun = time.Now().Add(-time.Hour)
		c.arm(time.Now().Add(-time.Minute))
		go func() { _, _ = io.WriteString(client, "PING\r\n") }()
		if args, err := c.ReadCommand(); err != nil || string(args[0]) != "PING" {
			t.Errorf("%q, %v", args, err)
		}
		go func() { _, _ = io.WriteString(client, "PING\r\n") }() // the deadline is over, and of no command
		if args, err := c.ReadCommand(); err != nil || string(args[0]) != "PING" {
			t.Errorf("%q, %v", args, err)
		}
	})
}

// guarded is a connection without the password, of a server that wants one.
func guarded(t *testing.T) (*Conn, net.Conn) {
	c, client := pipe(t, newServer(t, nil))
	c.trusted = false
	return c, client
}

// hungUpAfter sends words, one every so often, until it is hung up on;
// it returns after how long.
func hungUpAfter(client net.Conn, every time.Duration, words ...string) time.Duration {
	go func() { _, _ = io.Copy(io.Discard, client) }()
	began := time.Now()
	for time.Since(began) < time.Hour {
		for _, word := range words {
			<-time.After(every)
			if _, err := io.WriteString(client, word); err != nil {
				return time.Since(began)
			}
		}
	}
	return time.Hour
}

// TestDrip: commands that come in parts do not put off the time for the password.
func TestDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := guarded(t)
		go c.Serve()
		if took := hungUpAfter(client, 300*time.Millisecond, "NG\r\nPI"); took > time.Minute {
			t.Errorf("it was served for %v without the password", took)
		}
	})
}

// TestLastLookInParts: what comes in the last look may come in parts.
func TestLastLookInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := guarded(t)
		c.patience.greeting = time.Now().Add(-time.Minute)
		c.arm(c.patience.greeting)
		go func() {
			_, _ = io.WriteString(client, "PI")
			<-time.After(lastLook / 2)
			_, _ = io.WriteString(client, "NG\r\n")
		}()
		if args, err := c.ReadCommand(); err != nil || string(args[0]) != "PING" {
			t.Errorf("%q, %v", args, err)
		}
	})
}

// TestEmptyInParts: after an empty command that came in parts a client may say nothing.
func TestEmptyInParts(t *testing.T) {
	for _, parts := range [][]string{{"\r", "\n"}, {"*0", "\r\n"}} {
		synctest.Test(t, func(t *testing.T) {
			c, client := pipe(t, newServer(t, nil))
			go c.Serve()
			for _, part := range parts {
				if _, err := io.WriteString(client, part); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			<-time.After(time.Hour)
			go func() { _, _ = io.WriteString(client, "PING\r\n") }()
			if v, err := wire.NewReader(client, wire.DefaultLimits).ReadValue(); err != nil || v.Text() != "PING" {
				t.Errorf("%q: %q, %v", parts, v.Text(), err)
			}
			client.Close()
		})
	}
}

// TestReset: who has said the password once is not asked to hurry again, and on a place for
// peers it gets no more time by it.
func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := guarded(t)
		c.awaitGreeting()
		c.Trust(true)
		c.Trust(false)
		go func() {
			<-time.After(time.Hour)
			_, _ = io.WriteString(client, "PING\r\n")
		}()
		if args, err := c.ReadCommand(); err != nil || string(args[0]) != "PING" {
			t.Errorf("%q, %v", args, err)
		}
		if text, _ := c.Admit(0); text == "" {
			t.Error("without the password it is let in")
		}
		c, _ = guarded(t)
		c.reserved = true
		c.awaitGreeting()
		due := c.due()
		<-time.After(time.Second)
		c.Trust(true)
		c.Trust(false)
		if !c.due().Equal(due) {
			t.Errorf("a peer's place is kept for %v longer", c.due().Sub(due))
		}
	})
}

// TestSilentHandshakes: who does not shake hands is late and nothing else, and many of them
// are one line of the log.
func TestSilentHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := newServer(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		for range 3 {
			ours, theirs := net.Pipe()
			c := s.Open(encrypt(ours))
			c.Serve()
			theirs.Close()
		}
		if late, cut := s.Reached().Late.Load(), s.Reached().Cut.Load(); late != 3 || cut != 0 {
			t.Errorf("of three, %d were late, %d did not read", late, cut)
		}
		if strings.Contains(log.String(), "does not read") {
			t.Errorf("the log says %q", log.String())
		}
	})
}

// TestLongCommandStoodStill: a command that had begun before the process was stopped has its
// time after that; the password has not.
func TestLongCommandStoodStill(t *testing.T) {
	for greeting, want := range map[time.Duration]string{0: "PING", -time.Hour: ""} {
		synctest.Test(t, func(t *testing.T) {
			c, client := pipe(t, newServer(t, nil))
			if greeting != 0 {
				c.patience.greeting = time.Now().Add(greeting)
			}
			got := make(chan string)
			go func() {
				args, err := c.ReadCommand()
				if err != nil {
					got <- ""
					return
				}
				got <- string(args[0])
			}()
			_, _ = io.WriteString(client, "PI")
			synctest.Wait()
			c.patience.begun = time.Now().Add(-time.Hour)
			c.arm(time.Now().Add(-time.Minute))
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				<-time.After(20 * time.Second)
				_, _ = io.WriteString(client, "NG\r\n")
			}()
			if word := <-got; word != want {
				t.Errorf("%q, want %q", word, want)
			}
			client.Close()
			<-sent
		})
	}
}

// TestHandshakeLastLook: a handshake is looked at once more when its time is over.
func TestHandshakeLastLook(t *testing.T) {
	for after, want := range map[time.Duration]bool{lastLook / 2: true, 2 * lastLook: false} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			c := newServer(t, nil).Open(tls.Server(ours, handshakes(t)))
			go c.Serve()
			<-time.After(c.server.opts.Limits.PasswordTimeout + after)
			client := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true})
			if err := client.Handshake(); (err == nil) != want {
				t.Errorf("%v after its time: %v", after, err)
			}
			theirs.Close()
		})
	}
}

// handshakes is a configuration with a certificate that nobody checks.
func handshakes(t *testing.T) *tls.Config {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(nil, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
