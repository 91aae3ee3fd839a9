package secure

import (
	"context"
	"log/slog"
	"time"
)

const (
	lookEvery = time.Second // at the files
	// failedEvery is the time between words on files that can't be used.
	failedEvery = 10 * time.Minute

	// Before a certificate expires, the log says so: from soon on once a day, on the last day
	// each hour.
	soon      = 30 * 24 * time.Hour
	lastDay   = 24 * time.Hour
	soonEvery = 24 * time.Hour
	lastEvery = time.Hour
)

// Run reads the files again until ctx ends: when they have changed, and at once when again
// says so, with a function that is called when that is done (nil: never). What makes no sense changes nothing and is logged. A change counts once it was
// seen twice in a row, so that a file of which only a part is written does not. Connections
// that are there stay. It also warns of a certificate that is about to expire.
func (c Config) Run(ctx context.Context, again <-chan func(), logger *slog.Logger) {
	k := c.keeper
	if k == nil {
		k = &keeper{}
		k.now.Store(&secrets{})
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	r := reloader{keeper: k, logger: logger}
	if again != nil {
		r.warn(time.Now()) // of a command only once it has lasted
	}
	for {
		select {
		case done := <-again:
			r.reload()
			done()
		case <-tick.C:
			r.look()
		case <-ctx.Done():
			return
		}
		r.warn(time.Now())
	}
}

// reloader is what Run remembers.
type reloader struct {
	keeper *keeper
	logger *slog.Logger

	seen   texts     // at the last look
	failed string    // what was said last of files that can't be used
	quiet  time.Time // until then that is not said again
	warned time.Time // of expiry
	of     time.Time // the expiry that was warned of
}

// reload reads the files at once, because somebody says that they are as they should be.
func (r *reloader) reload() {
	if r.keeper.files == (Files{}) {
		r.logger.Info("nothing to read again: this process has no certificate and no password file")
		return
	}
	r.failed = "" // who asks is answered
	text, err := r.keeper.files.read()
	if err == nil && text == r.keeper.now.Load().text {
		r.logger.Info("certificates and password are as they were", "certificate_expires", expiresText(r.keeper.now.Load().expires))
		return
	}
	r.take(text, err)
}

// look reads the files, and takes what it has seen before too.
func (r *reloader) look() {
	if r.keeper.files == (Files{}) {
		return
	}
	text, err := r.keeper.files.read()
	before := r.seen
	r.seen = text
	switch {
	case err != nil:
		r.take(text, err)
	case text == r.keeper.now.Load().text:
		r.failed = ""
	case text == before:
		r.take(text, nil)
	}
}

func (r *reloader) take(text texts, err error) {
	before := r.keeper.now.Load()
	if err == nil {
		err = r.keeper.take(text)
	}
	if err != nil {
		if now := time.Now(); err.Error() != r.failed || now.After(r.quiet) {
			r.failed, r.quiet = err.Error(), now.Add(failedEvery)
			r.logger.Error("certificates or password can't be read again: the former ones stay in use", "err", err)
		}
		return
	}
	r.failed = ""
	s := r.keeper.now.Load()
	r.logger.Info("certificates and password were read again", "certificate", s.text.cert != before.text.cert, "ca", s.text.ca != before.text.ca,
		"password", s.text.password != before.text.password, "passwords_accepted", len(s.passwords), "certificate_expires", expiresText(s.expires))
}

func expiresText(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return at.UTC().Format(time.RFC3339)
}

// warn says that the certificate expires soon, if it is time to.
func (r *reloader) warn(now time.Time) {
	expires := r.keeper.now.Load().expires
	level, every, due := expiryWarning(now, expires)
	if !due || expires.Equal(r.of) && now.Sub(r.warned) < every {
		return
	}
	r.of, r.warned = expires, now
	text := "the certificate of this process expires soon: put a new one in its place, which is read without a restart"
	if !now.Before(expires) {
		text = "the certificate of this process has expired: others refuse its connections"
	}
	r.logger.Log(context.Background(), level, text, "file", r.keeper.files.Cert, "expires", expiresText(expires), "in", expires.Sub(now).Round(time.Minute).String())
}

// expiryWarning says how loud, and how often, the log warns of a certificate.
func expiryWarning(now, expires time.Time) (level slog.Level, every time.Duration, due bool) {
	switch left := expires.Sub(now); {
	case expires.IsZero() || left > soon:
		return 0, 0, false
	case left > lastDay:
		return slog.LevelWarn, soonEvery, true
	default:
		return slog.LevelError, lastEvery, true
	}
}
