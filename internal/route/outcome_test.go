package route

import (
	"context"
	"errors"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/tests/fake"
)

// uselessReplies say that a try did nothing and that asking again is no use; what they
// are when no earlier try may have taken effect.
var uselessReplies = []struct {
	reply string
	want  error
}{
	{wire.TooManyClients, ErrRefused},
	{"NOAUTH Authentication required.", ErrRefused},
	{"WRONGPASS invalid username-password pair", ErrRefused},
	{"CORRUPT the stored value fails its checksum", ErrCorrupt},
	{"ERR the request id was born too long ago", ErrRefused},
	{"ERR Protocol error: protocol limit exceeded", ErrRefused},
	{"LOADING what no server of ours says", ErrRefused},
}

// What a later try is told is not the operation's answer once an earlier one may have
// taken effect; before that it is.
func TestRefusedAfterATryThatMayBeDone(t *testing.T) {
	t.Parallel()
	for _, tt := range uselessReplies {
		for _, before := range []string{"", "UNKNOWNOUTCOME", "UNAVAILABLE for a while"} {
			t.Run(tt.reply+" after "+before, func(t *testing.T) {
				f := fake.Start(t)
				f.View = fake.View(1, f.Addr)
				f.Answer = func(n int, _ wire.DoRequest, w *wire.Writer) {
					if n == 0 && before != "" {
						w.WriteError(before)
					} else {
						w.WriteError(tt.reply)
					}
				}
				want := tt.want
				if before == "UNKNOWNOUTCOME" {
					want = ErrUnknownOutcome
				}
				c := openSeeded(t, f.Addr)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := c.Append(ctx, "k", []byte("v")); !errors.Is(err, want) || errors.Is(err, tt.want) && want != tt.want {
					t.Errorf("Append: %v, want %v", err, want)
				}
				if _, err := c.Get(ctx, "k"); !errors.Is(err, tt.want) && ctx.Err() == nil {
					t.Errorf("Get: %v, want %v", err, tt.want)
				}
			})
		}
	}
}

// There is room again while the client asks: it is told what its first try came to.
func TestRoomAgain(t *testing.T) {
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	f.Answer = func(n int, _ wire.DoRequest, w *wire.Writer) {
		switch {
		case n == 0:
			w.WriteError("UNKNOWNOUTCOME")
		case n < 4:
			w.WriteError(wire.TooManyClients)
		default:
			fake.OK(w, wire.DoReply{Status: wire.DoOK, Number: 7})
		}
	}
	if reply, err := openSeeded(t, f.Addr).Append(t.Context(), "k", []byte("v")); err != nil || reply.Number != 7 {
		t.Errorf("Append: %+v, %v", reply, err)
	}
}

// A client that is closed while a write is under way does not know what came of it.
func TestClosedWhileUnderWay(t *testing.T) {
	f := fake.Start(t)
	asked := make(chan struct{})
	f.Answer = func(int, wire.DoRequest, *wire.Writer) { f.Mute = true; close(asked) }
	f.View = fake.View(1, f.Addr)
	c := openSeeded(t, f.Addr)
	result := make(chan error, 1)
	go func() {
		_, err := c.Append(t.Context(), "k", []byte("v"))
		result <- err
	}()
	<-asked
	c.Close()
	if err := <-result; !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, ErrClosed) {
		t.Errorf("Append: %v", err)
	}
	if _, err := c.Append(t.Context(), "k", []byte("v")); !errors.Is(err, ErrClosed) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("Append after Close: %v", err)
	}
}

// Pipelines, and so gateways, go by the same rule: error replies are passed on as they
// are only while no try may have been carried out, or where they are the command's own.
func TestPipelineRefusedAfterATryThatMayBeDone(t *testing.T) {
	t.Parallel()
	for _, tt := range uselessReplies {
		p, _ := startPipeline(t, func(_ string, all []string) string {
			if len(all) == 1 {
				return "-UNKNOWNOUTCOME it may or may not be done\r\n"
			}
			return "-" + tt.reply + "\r\n"
		})
		p.patience = time.Second
		wants(t, send(t, p, true, "APPEND k v"), "", ErrUnknownOutcome)
		wants(t, send(t, p, true, "APPEND k v"), "-"+tt.reply+"\r\n", nil)
		wants(t, send(t, p, false, "GET k"), "-"+tt.reply+"\r\n", nil)
	}
	p, _ := startPipeline(t, func(_ string, all []string) string {
		if len(all) == 1 {
			return ""
		}
		return "-ANSWERED ERR value is not an integer or out of range\r\n"
	})
	wants(t, send(t, p, true, "INCR k"), "-ERR value is not an integer or out of range\r\n", nil)
}
