package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"viewring/internal/secure"
)

//go:embed assets
var embedded embed.FS

// files are what the page is made of, by their paths.
var files = []struct{ path, name, kind string }{
	{"/{$}", "page.html", "text/html; charset=utf-8"},
	{"/page.css", "page.css", "text/css; charset=utf-8"},
	{"/page.js", "page.js", "text/javascript; charset=utf-8"},
	{"/ring.js", "ring.js", "text/javascript; charset=utf-8"},
	{"/tables.js", "tables.js", "text/javascript; charset=utf-8"},
	{"/paths.js", "paths.js", "text/javascript; charset=utf-8"},
	{"/icon.svg", "icon.svg", "image/svg+xml"},
}

// policy lets a browser load what this page serves itself, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var errTooMany = errors.New("too many look at this page: close one, or look again in a while")

func (p *Page) handler() http.Handler {
	mux := http.NewServeMux()
	for _, f := range files {
		text, err := fs.ReadFile(embedded, "assets/"+f.name)
		if err != nil {
			panic("page: " + err.Error()) // it was there when this was built
		}
		sum := sha256.Sum256(text)
		tag := `"` + hex.EncodeToString(sum[:8]) + `"`
		mux.HandleFunc("GET "+f.path, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Type", f.kind)
			h.Set("Cache-Control", "no-cache")
			h.Set("ETag", tag)
			if r.Header.Get("If-None-Match") == tag {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			_, _ = w.Write(text) // who has gone misses it
		})
	}
	mux.HandleFunc("GET /live", p.live)
	mux.HandleFunc("GET /state", p.state)
	mux.HandleFunc("GET /explain", p.explain)
	mux.HandleFunc("GET /paths", p.browse)
	return p.guard(mux)
}

// guard refuses what is not to be served, and says to browsers how careful to be.
func (p *Page) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if !p.opts.AnyHost && p.local && !p.opts.Secure.WantsPassword() && !secure.IsThisMachine(r.Host) {
			fail(w, http.StatusMisdirectedRequest, fmt.Sprintf("without a password this page is for this machine only, and not for the host %q: give a password, or start it with --insecure", r.Host))
			return
		}
		if why, said := p.opts.Secure.HTTPAuth(r); why != "" {
			if said {
				p.refused.Note(p.opts.Logger, r.RemoteAddr, why)
			}
			secure.Challenge(h)
			h.Set("Connection", "close") // who has no password keeps no connection
			fail(w, http.StatusUnauthorized, "the cluster's password is wanted: that of any user")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fail answers with a line of text.
func fail(w http.ResponseWriter, code int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, text) // who has gone misses it
}

// answer answers with JSON.
func answer(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // who has gone misses it
}

// live tells by server-sent events what there is, and then what is new, until the client leaves.
func (p *Page) live(w http.ResponseWriter, r *http.Request) {
	news, leave := p.hub.watch()
	if news == nil {
		w.Header().Set("Retry-After", "30")
		fail(w, http.StatusServiceUnavailable, errTooMany.Error())
		return
	}
	defer leave()
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Time{}) // nothing more is to come; a broken connection says so when it is written to
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies are to pass it on at once
	if r.Method == http.MethodHead {
		return
	}
	var had told
	for {
		select {
		case <-news:
		case <-r.Context().Done():
			return
		}
		now := p.hub.now()
		_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // as above
		if _, err := w.Write(now.since(&had)); err != nil || conn.Flush() != nil {
			return
		}
		had = now
	}
}

// since encodes what is new to who had something before, as server-sent events.
func (t *told) since(had *told) []byte {
	var b []byte
	part := func(name string, body []byte) {
		b = fmt.Appendf(b, "event: %s\ndata: %s\n\n", name, body) // JSON has no line ends
	}
	if t.placing != nil && t.placingChange != had.placingChange {
		part("placing", t.placing)
	}
	if t.events != nil && t.eventChange != had.eventChange {
		part("events", t.events)
	}
	part("state", t.state)
	return b
}

// state answers with what live tells every time, once.
func (p *Page) state(w http.ResponseWriter, r *http.Request) {
	now, err := p.hub.fresh(r.Context())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, now.state)
}

// explain says where the key of a query is, and why.
func (p *Page) explain(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("key")
	if key == "" || len(key) > keyMax {
		fail(w, http.StatusBadRequest, fmt.Sprintf("want a key of 1 to %d bytes: /explain?key=greeting", keyMax))
		return
	}
	now, err := p.hub.fresh(r.Context())
	if err == nil {
		err = now.last.err
	}
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	select {
	case p.explains <- struct{}{}:
		defer func() { <-p.explains }()
	case <-r.Context().Done():
		return
	}
	e, err := p.opts.Explain(now.last.status, key)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, encode(e))
}
