package web

import (
	"context"
	"net/http"
	"sync"
	"time"

	"viewring/client"
	"viewring/client/file"
	"viewring/internal/secure"
	"viewring/internal/tree"
	"viewring/server/web/dav"
)

// allowed are the methods that are served: HTTP's and WebDAV's.
const allowed = "GET, HEAD, PUT, POST, DELETE, OPTIONS, PROPFIND, PROPPATCH, MKCOL, COPY, MOVE, LOCK, UNLOCK"

// request is one that is being answered.
type request struct {
	*Front
	files *file.FS
	share *dav.Share
	w     http.ResponseWriter
	r     *http.Request
	ctx   context.Context
	target
}

// serve answers every request.
func (f *Front) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	if !f.opts.Secure.WantsPassword() {
		secure.Greeted(r.Context())
	}
	answer := &watched{ResponseWriter: w, patience: f.opts.Bounds.WriteTimeout}
	body := &patient{ReadCloser: r.Body, pace: pace{patience: f.opts.Bounds.ReadTimeout, conn: http.NewResponseController(w)}}
	r = r.WithContext(withPace(r.Context(), &body.pace)) // net/http goes on with the body of its own, which tells it whether the client waits to be told to send it
	r.Body = body
	defer func() {
		body.leave()
		f.count(r, answer, time.Since(began))
		f.opts.Logger.Debug("request", "method", r.Method, "path", r.URL.Path, "status", answer.status, "bytes", answer.bytes, "took", time.Since(began), "from", r.RemoteAddr)
	}()
	answer.Header().Set("X-Content-Type-Options", "nosniff")
	f.dispatch(answer, r)
}

// dispatch finds who answers a request.
func (f *Front) dispatch(w http.ResponseWriter, r *http.Request) {
	if isHealth(r) {
		f.answerHealth(w, r)
		return
	}
	c := f.cluster.Load()
	if c == nil {
		f.fail(w, r, failf(http.StatusServiceUnavailable, "%w: the cluster has not been found yet", client.ErrUnreachable))
		return
	}
	if c.s3 != nil && c.s3.Owns(r) {
		c.s3.ServeHTTP(w, r)
		return
	}
	q := &request{Front: f, files: c.files, share: c.share, w: w, r: r, ctx: r.Context()}
	if err := q.admit(); err != nil {
		f.fail(w, r, err)
		return
	}
	if err := q.answer(); err != nil {
		f.fail(w, r, err)
	}
}

// admit finds out whether a request is served at all, and what it is about.
func (q *request) admit() (err error) {
	if err := q.checkHost(); err != nil {
		return err
	}
	if err := q.checkPassword(); err != nil {
		return err
	}
	if err := q.csrf.Check(q.r); err != nil {
		return failure{http.StatusForbidden, err}
	}
	if q.r.Method == http.MethodOptions && q.r.RequestURI == "*" {
		q.target = target{path: tree.Root, dir: true}
		return nil
	}
	q.target, err = targetOf(q.r.URL)
	if err == nil && dav.Reserved(q.path) {
		err = failf(http.StatusForbidden, "%s is this front's own", q.path)
	}
	return err
}

// answer carries a request out. An error is one that nothing was answered for yet.
func (q *request) answer() error {
	switch q.r.Method {
	case http.MethodGet, http.MethodHead:
		return q.get()
	case http.MethodPut:
		return q.share.Guard(q.r, q.put)
	case http.MethodPost:
		return q.post()
	case http.MethodDelete:
		return q.share.Guard(q.r, q.remove)
	case http.MethodOptions:
		h := q.w.Header()
		h.Set("Allow", allowed)
		h.Set("DAV", "1, 2")
		h.Set("MS-Author-Via", "DAV") // [MS-WDVSE], section 2.2.2
		h.Set("Accept-Ranges", "bytes")
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if dav.Is(q.r.Method) {
		return q.serveDAV()
	}
	q.w.Header().Set("Allow", allowed)
	return failf(http.StatusMethodNotAllowed, "%s is not served here", q.r.Method)
}

// davBytes is about what a listing of WebDAV takes in memory at most.
const davBytes = 32 << 20

// serveDAV answers a method of WebDAV.
func (q *request) serveDAV() error {
	if q.r.Method == "PROPFIND" && q.r.Header.Get("Depth") != "0" {
		done, err := q.budget.takeList(q.ctx, davBytes)
		if err != nil {
			return err
		}
		defer done()
	}
	return q.share.Serve(q.w, q.r)
}

// checkPassword wants the cluster's password.
func (q *request) checkPassword() error {
	why, said := q.opts.Secure.HTTPAuth(q.r)
	if why == "" {
		if q.opts.Secure.WantsPassword() {
			secure.Greeted(q.ctx)
		}
		return nil
	}
	if said {
		q.refuse(q.r.RemoteAddr, why)
	}
	secure.Challenge(q.w.Header())
	return failf(http.StatusUnauthorized, "the cluster's password is wanted: that of any user")
}

// checkHost keeps pages of others from reaching this machine by a name of their own. See Options.AnyHost.
func (q *request) checkHost() error {
	if q.opts.AnyHost || !q.local || q.opts.Secure.WantsPassword() || secure.IsThisMachine(q.r.Host) {
		return nil
	}
	return failf(http.StatusMisdirectedRequest, "without a password this front serves this machine only, and not the host %q: give a password, or start it with --insecure", q.r.Host)
}

// health is what was last found out, for those who ask often.
type health struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// healthMax bounds how long it takes to find out, and healthFresh how long that is told again.
const (
	healthMax   = 2 * time.Second
	healthFresh = time.Second
)

// isHealth reports whether a request asks how the front is: a query, since any path may be a file's.
func isHealth(r *http.Request) bool {
	return r.URL.Path == "/" && r.URL.RawQuery == "health" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// answerHealth says whether files can be reached. No password is wanted, and nothing else is told.
func (f *Front) answerHealth(w http.ResponseWriter, r *http.Request) {
	if err := f.health(r.Context()); err != nil {
		f.fail(w, r, failf(http.StatusServiceUnavailable, "the cluster is away"))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte("ok\n")) // who has gone misses it
}

func (f *Front) health(ctx context.Context) error {
	f.healthy.mu.Lock()
	defer f.healthy.mu.Unlock()
	if time.Since(f.healthy.at) < healthFresh {
		return f.healthy.err
	}
	c := f.cluster.Load()
	if c == nil {
		return client.ErrUnreachable
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthMax)
	defer cancel()
	was := f.healthy.err
	_, f.healthy.err = c.files.Stat(ctx, tree.Root)
	if f.healthy.err != nil && was == nil {
		f.opts.Logger.Warn("the cluster is away", "err", f.healthy.err)
	}
	f.healthy.at = time.Now()
	return f.healthy.err
}
