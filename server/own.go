package server

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"unicode"
	"unicode/utf8"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/store"
)

// The commands about one server's own: its console, its local names, what its
// store holds. They run on the connection's reading goroutine, one at a time.

// runViewOf gives the view to whoever can't ask the view leader.
func (c *conn) runViewOf(args [][]byte) error {
	since, err := strconv.ParseUint(string(args[0]), 10, 64)
	if err != nil {
		c.replyError(wire.CodeErr + " an epoch is a number, not " + quote(args[0]))
		return nil
	}
	v := c.s.views.View()
	if v.Epoch <= since {
		c.reply(func(w *wire.Writer) { w.WriteNil() })
		return nil
	}
	c.replyBulk(ring.AppendView(nil, v, since))
	return nil
}

func (c *conn) replyBulk(b []byte) {
	c.reply(func(w *wire.Writer) { w.WriteBulk(b) })
}

func (c *conn) replyFailed(err error) {
	c.replyError(failedText(err))
}

func (c *conn) runPrint(args [][]byte) error {
	if err := c.s.console.print(c.s.ctx, append(printable(args[0]), '\n')); err != nil {
		c.replyFailed(err)
		return nil
	}
	c.replyOK()
	return nil
}

// printable is a text without what a terminal would obey: control characters, and bytes that are
// no UTF-8, as Go writes them in strings.
func printable(text []byte) []byte {
	shown := make([]byte, 0, len(text)+1)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			shown = fmt.Appendf(shown, `\x%02x`, text[0])
		case r == ' ' || unicode.IsGraphic(r):
			shown = utf8.AppendRune(shown, r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			shown = append(shown, quoted[1:len(quoted)-1]...)
		}
		text = text[n:]
	}
	return shown
}

func (c *conn) runLocalSet(args [][]byte) error {
	if len(args[0]) > wire.KeyBytesMax || len(args[1]) > wire.ValueBytesMax {
		c.replyError(fmt.Sprintf("%s at most %d bytes of value and %d of name", wire.CodeTooLarge, wire.ValueBytesMax, wire.KeyBytesMax))
		return nil
	}
	if err := c.s.store.SetLocal(string(args[0]), args[1]); err != nil {
		c.replyFailed(err)
		return nil
	}
	c.replyOK()
	return nil
}

func (c *conn) runLocalGet(args [][]byte) error {
	value, ok, err := c.s.store.GetLocal(string(args[0]))
	switch {
	case err != nil:
		c.replyFailed(err)
	case !ok:
		c.reply(func(w *wire.Writer) { w.WriteNil() })
	default:
		c.replyBulk(value)
	}
	return nil
}

// pageLimit reads the limit of a page.
func pageLimit(arg []byte) (int, error) {
	n, err := strconv.Atoi(string(arg))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("a page's limit is a number from 1, not %s", quote(arg))
	}
	return min(n, wire.PageItemsMax), nil
}

func (c *conn) runOwnKeys(args [][]byte) error {
	limit, err := pageLimit(args[1])
	if err != nil {
		c.replyFailed(err)
		return nil
	}
	var page wire.KeysPage
	page.Next, err = c.s.store.Names(args[0], limit, func(local bool, name string) {
		page.Names = append(page.Names, wire.StoredName{Local: local, Name: name})
	})
	if err != nil {
		c.replyFailed(err)
		return nil
	}
	c.replyBulk(wire.AppendKeysPage(nil, &page))
	return nil
}

func (c *conn) runCopies(args [][]byte) error {
	p, err := strconv.ParseUint(string(args[0]), 10, 16)
	if err != nil || int(p) >= len(c.s.views.View().Partitions) {
		c.replyError(wire.CodeErr + " there is no partition " + quote(args[0]))
		return nil
	}
	limit, err := pageLimit(args[2])
	if err != nil {
		c.replyFailed(err)
		return nil
	}
	var page wire.CopiesPage
	page.Next, err = c.s.store.Copies(ring.PartitionID(p), args[1], limit, func(k store.Copy) {
		page.Copies = append(page.Copies, wire.StoredCopy{
			Key: k.Name, Term: k.Version.Term, Seq: k.Version.Seq, Length: k.Length, Sum: k.Sum, Corrupt: k.Corrupt,
		})
	})
	if err != nil {
		c.replyFailed(err)
		return nil
	}
	c.replyBulk(wire.AppendCopiesPage(nil, &page))
	return nil
}

func (c *conn) runParts([][]byte) error {
	c.replyBulk(wire.AppendParts(nil, c.s.store.Parts()))
	return nil
}

// console is where VR.PRINT prints. One goroutine writes, so that lines of many
// connections never mix and no lock is held while a terminal is slow.
type console struct {
	w     io.Writer
	lines chan line
}

type line struct {
	text    []byte
	printed chan error
}

func newConsole(w io.Writer) *console { return &console{w: w, lines: make(chan line)} }

// print returns when the text stands on the console.
func (k *console) print(ctx context.Context, text []byte) error {
	ln := line{text: text, printed: make(chan error, 1)}
	select {
	case k.lines <- ln:
	case <-ctx.Done():
		return errStopped
	}
	select {
	case err := <-ln.printed:
		return err
	case <-ctx.Done():
		return errStopped
	}
}

func (k *console) run(ctx context.Context) {
	for {
		select {
		case ln := <-k.lines:
			_, err := k.w.Write(ln.text)
			ln.printed <- err
		case <-ctx.Done():
			return
		}
	}
}
