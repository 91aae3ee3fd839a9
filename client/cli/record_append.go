package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"viewring/client"
	"viewring/client/record"
)

// appendFlags are those of record append.
type appendFlags struct {
	prefixed bool
	batch    int
	producer string
	sequence int64
	isNew    bool
}

func (a *app) recordAppendCmd() *cobra.Command {
	var o appendFlags
	cmd := &cobra.Command{
		Use:   "append PATH [SRC]",
		Short: "append records",
		Long: `Append records from a file, or standard input: a record a line, without its end; or
with --length-prefixed any bytes, each record after its length in 4 bytes, big endian.
They are sent in batches of what is there, and again until they are answered: each
lands once, whole.

If the command is killed, or ends with exit code 3, nobody knows whether its last
batch landed. --producer NAME makes that known: the file remembers how many records
it has of that producer, and takes each once. Run again with --sequence 0 and the same
input from its beginning, as often as you like: what is there is passed over. Without
--sequence, records follow those that are there. A name that the file does not know
wants --new. One process at a time is a producer: an earlier one ends, exit code 4.`,
		Example: `  journalctl -f | viewring record append /log
  viewring record append /orders --producer shop --new --sequence 0 orders.txt`,
		Args: upTo("SRC", "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.producer == "" && (o.isNew || cmd.Flag("sequence").Changed):
				return usagef("record append: --sequence and --new are for a --producer")
			case o.batch < 1 || o.batch > record.BatchRecordsMax:
				return usagef("record append: --batch is 1 to %d", record.BatchRecordsMax)
			case cmd.Flag("sequence").Changed && o.sequence < 0:
				return usagef("record append: --sequence is 0 or more")
			}
			if !cmd.Flag("sequence").Changed {
				o.sequence = -1
			}
			return a.onRecords(func(ctx context.Context, s *record.Store, args []string) error {
				f, err := s.Open(ctx, args[0])
				if err != nil {
					return err
				}
				r, closing, err := a.source(ctx, append(args, stdinPath)[1])
				if err != nil {
					return err
				}
				defer closing()
				return a.appendRecords(ctx, f, r, &o)
			})(cmd, args)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.prefixed, "length-prefixed", false, "each record comes after its length, 4 bytes, big endian")
	f.IntVar(&o.batch, "batch", 1000, "`records` that are sent as one at most")
	f.StringVar(&o.producer, "producer", "", "append as `NAME`, each record once")
	f.Int64Var(&o.sequence, "sequence", 0, "the first record has this `number` among its producer's (default: the next)")
	f.BoolVar(&o.isNew, "new", false, "the file need not know the producer")
	return cmd
}

// appendRecords appends what r has.
func (a *app) appendRecords(ctx context.Context, f *record.File, r io.Reader, o *appendFlags) error {
	send := f.Append
	if o.producer != "" {
		p, err := f.Join(ctx, o.producer)
		if err != nil {
			return err
		}
		next := o.sequence
		switch {
		case !p.Known() && !o.isNew:
			return codeError{exitRefused, fmt.Errorf("append to %q: it knows no producer %q: --new makes one", f.Path(), o.producer)}
		case next < 0:
			next = p.Next()
		}
		send = func(ctx context.Context, records ...[]byte) (record.Appended, error) {
			out, err := p.Append(ctx, next, records...)
			if err == nil {
				next += int64(len(records))
			}
			return out, err
		}
	}
	in := newFeed(f.BatchBytesMax())
	go in.fill(r, o.prefixed)
	teller := a.newTellerOf("records", "appended")
	done, known, last := int64(0), int64(0), int64(-1)
	var err error
	for err == nil {
		var records [][]byte
		if records, err = in.take(o.batch); records == nil || err != nil {
			break
		}
		var out record.Appended
		if out, err = send(ctx, records...); err == nil {
			done += out.Count
			if out.Known {
				known += out.Count
			}
			last = max(last, out.Last)
			teller.tell(int(done))
		}
	}
	in.close()
	answer := map[string]any{"version": jsonVersion, "path": f.Path(), "appended": done, "known": known}
	if last >= 0 {
		answer["last"] = last
	}
	switch {
	case err != nil && errors.Is(err, client.ErrUnknownOutcome) && o.producer == "":
		return answeredError{fmt.Errorf("%w (%d records before are appended; --producer NAME --sequence N would tell which of these are)", err, done), answer}
	case err != nil:
		return answeredError{fmt.Errorf("%w (%d records before are appended)", err, done), answer}
	case a.flags.json:
		a.printJSON(answer)
	case last >= 0:
		a.printf("appended %s, the last at %d\n", count(int(done), "record"), last)
	default:
		a.printf("appended %s\n", count(int(done), "record"))
	}
	return nil
}

// feed has what was read and not appended yet.
type feed struct {
	most int64 // bytes of records that wait, and of one record

	mu      sync.Mutex
	changed *sync.Cond
	records [][]byte
	bytes   int64
	over    bool // nothing more comes, or is wanted
	err     error
}

func newFeed(most int64) *feed {
	f := &feed{most: most}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// fill reads until the end, or what can't be read, or close.
func (f *feed) fill(r io.Reader, prefixed bool) {
	b := bufio.NewReaderSize(r, 64<<10)
	next := f.line
	if prefixed {
		next = f.prefixed
	}
	for n := 1; ; n++ {
		record, err := next(b)
		f.mu.Lock()
		for err == nil && !f.over && len(f.records) > 0 && f.bytes+int64(len(record)) > f.most {
			f.changed.Wait()
		}
		if err == nil && !f.over {
			f.records, f.bytes = append(f.records, record), f.bytes+int64(len(record))
		} else if f.over = true; err != nil && !errors.Is(err, io.EOF) {
			f.err = fmt.Errorf("record %d of the input: %w", n, err)
		}
		over := f.over
		f.changed.Broadcast()
		f.mu.Unlock()
		if over {
			return
		}
	}
}

func (f *feed) tooLong() error {
	return fmt.Errorf("%w: more than %d bytes, a quarter of a chunk", client.ErrTooLarge, f.most)
}

// line reads a line; the last one may lack its end.
func (f *feed) line(b *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			if line = bytes.TrimSuffix(line, []byte("\n")); int64(len(line)) > f.most {
				return nil, f.tooLong()
			}
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull) && int64(len(line)) <= f.most:
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, f.tooLong()
		case errors.Is(err, io.EOF) && len(line) > 0:
			if int64(len(line)) > f.most {
				return nil, f.tooLong()
			}
			return line, nil
		default:
			return nil, err
		}
	}
}

// prefixed reads a record after its length.
func (f *feed) prefixed(b *bufio.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(b, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if int64(n) > f.most {
		return nil, f.tooLong()
	}
	record := make([]byte, n)
	if _, err := io.ReadFull(b, record); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return record, nil
}

// take waits for records, and takes as many as are one batch; none at the end. What was read before
// something went wrong comes before the error.
func (f *feed) take(most int) ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.records) == 0 && !f.over {
		f.changed.Wait()
	}
	n := min(most, len(f.records))
	if n == 0 {
		return nil, f.err
	}
	out := f.records[:n:n]
	f.records = f.records[n:]
	for _, r := range out {
		f.bytes -= int64(len(r))
	}
	f.changed.Broadcast()
	return out, nil
}

// close lets nothing more in.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.changed.Broadcast()
}
