package page

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"viewring/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// patience is how long what must come may take, on a machine that others keep busy.
const patience = 2 * time.Minute

// tab is a page that a browser shows.
type tab struct {
	t     *testing.T
	ctx   context.Context
	close context.CancelFunc

	mu       sync.Mutex
	problems []string // that the browser's console told; guarded by mu
}

// look is how a page is looked at.
type look struct {
	name          string
	width, height int64
	phone, dark   bool
}

var looks = []look{
	{name: "desktop", width: 1280, height: 900},
	{name: "phone", width: 390, height: 844, phone: true},
	{name: "dark", width: 1280, height: 900, dark: true},
}

// chromium finds the browser; a test is skipped where there is none.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("chromium is not installed")
	return ""
}

// newBrowser starts one; its tabs end with the test.
func newBrowser(t *testing.T) context.Context {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.NoSandbox)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// open shows a page in a tab of its own.
func open(t *testing.T, browser context.Context, url string, l look) *tab {
	t.Helper()
	listening := harness.Beside(t)
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx, close: cancel}
	messages := chromedp.Console(ctx)
	listening.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.problems = append(p.problems, fmt.Sprint(m))
			p.mu.Unlock()
		}
	})
	scheme := map[bool]string{false: "light", true: "dark"}[l.dark]
	size := chromedp.EmulateViewport(l.width, l.height)
	if l.phone {
		size = chromedp.EmulateViewport(l.width, l.height, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))
	}
	p.do(size, chromedp.Func(func(ctx context.Context, at *chromedp.Target) error {
		_, err := cdp.Call(ctx, at, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}), chromedp.Navigate(url))
	return p
}

// do has the browser do one thing after the other.
func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("%v; the console says %q", err, p.said())
	}
}

// wait waits until an expression of JavaScript is true.
func (p *tab) wait(expression string) {
	p.t.Helper()
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the console says %q; shown is:\n%.2000s", p.said(), value[string](p, "document.body.innerText"))
		}
	}()
	harness.Eventually(p.t, expression, func() bool { return value[bool](p, "Boolean("+expression+")") })
}

// value evaluates an expression.
func value[T any](p *tab, expression string) T {
	p.t.Helper()
	return run(p, chromedp.Evaluate[T](expression))
}

func run[T any](p *tab, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatalf("%v; the console says %q", err, p.said())
	}
	return v
}

func (p *tab) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.problems...)
}

// isQuiet fails the test if the browser's console told of anything.
func (p *tab) isQuiet() {
	p.t.Helper()
	for _, problem := range p.said() {
		p.t.Errorf("the console says: %s", problem)
	}
}

// shoot keeps a picture of the whole page where VIEWRING_SHOTS says.
func (p *tab) shoot(name string) {
	p.t.Helper()
	dir := os.Getenv("VIEWRING_SHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), run(p, chromedp.FullScreenshot(100)), 0o600); err != nil {
		p.t.Fatal(err)
	}
}
