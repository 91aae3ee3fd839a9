package cli

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"viewring/client/record"
)

// tailFlags are those of record tail.
type tailFlags struct {
	follow, prefixed, reset bool
	from, as, group         string
	fromGiven               bool
	limit                   int64
}

func (o *tailFlags) check(json bool) (at record.From, err error) {
	at, err = parseFrom(o.from, time.Now())
	switch {
	case err != nil:
		return at, usagef("record tail: --from is %v, not %q", err, o.from)
	case o.limit < 0:
		return at, usagef("record tail: --limit is 0 or more")
	case o.prefixed && json:
		return at, usagef("record tail: --json or --length-prefixed")
	case o.as != "" && o.group != "":
		return at, usagef("record tail: --as or --group")
	case o.reset && o.as == "" && o.group == "":
		return at, usagef("record tail: --reset is for --as and --group")
	}
	return at, nil
}

func (a *app) recordTailCmd() *cobra.Command {
	var o tailFlags
	cmd := &cobra.Command{
		Use:   "tail [-f] PATH",
		Short: "print records",
		Long: `Print records, in their order: a record a line; or with --length-prefixed each after
its length in 4 bytes, big endian; or with --json an object a line, with place, time,
and data, or data_base64 where it is not UTF-8. With -f it goes on with what is
appended, for which it waits at a server.

--from says where to begin: start, end, a place, a time (2026-01-31T12:00:00Z), or how
long ago (10m). What can't be read of any copy is told on standard error, or as an
object with lost, and reading goes on.

--as NAME keeps the place in the store: who reads as NAME next goes on behind what was
written to standard output. It is kept once a second, and at the end: a command that is
killed, or whose output is lost on its way, leaves records that are printed again. One
process at a time reads under a name; an earlier one ends, exit code 4. --group NAME
shares the file among all who read so: each chunk is printed by one of them, in order,
and taken over where that one dies. --from is for new names, or with --reset for one
that begins anew. Records that were removed before NAME had read them are told.`,
		Example: `  viewring record tail -f /events
  viewring record tail /events --from 10m --json
  viewring record tail -f /events --as billing | bill
  viewring record tail -f /events --group indexers | index`,
		Args: wants("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := o.check(a.flags.json)
			if err != nil {
				return err
			}
			if cmd.Flag("as").Changed && o.as == "" || cmd.Flag("group").Changed && o.group == "" {
				return usagef("record tail: --as and --group want a name")
			}
			o.fromGiven = cmd.Flag("from").Changed
			return a.onRecords(func(ctx context.Context, s *record.Store, args []string) error {
				f, err := s.Open(ctx, args[0])
				if err != nil {
					return err
				}
				p := &recordPrinter{a: a, out: bufio.NewWriterSize(a.env.Stdout, 64<<10), prefixed: o.prefixed, follow: o.follow, limit: o.limit}
				if o.as == "" && o.group == "" {
					return p.print(f.Read(ctx, at, o.follow))
				}
				return p.named(ctx, f, at, &o)
			})(cmd, args)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "wait for more, until Ctrl-C")
	f.StringVar(&o.from, "from", "start", "begin at `WHERE`: start, end, a place, or a time")
	f.Int64Var(&o.limit, "limit", 0, "end after so many `records` (0: no limit)")
	f.BoolVar(&o.prefixed, "length-prefixed", false, "print each record after its length, 4 bytes, big endian")
	f.StringVar(&o.as, "as", "", "read as `NAME`, whose place is kept")
	f.StringVar(&o.group, "group", "", "read in the group `NAME`, whose members share the file")
	f.BoolVar(&o.reset, "reset", false, "a name that is known begins anew, at --from")
	return cmd
}

// recordPrinter prints entries.
type recordPrinter struct {
	a        *app
	out      *bufio.Writer
	prefixed bool
	follow   bool
	limit    int64
	name     string                   // that it reads under; "": none
	flushed  func(last *record.Entry) // told of what was written to standard output; nil: nobody is
}

// flushEvery is how many records are printed before they are written, if it does not follow.
const flushEvery = 1000

func (p *recordPrinter) print(entries iter.Seq2[record.Entry, error]) (err error) {
	printed, since := int64(0), 0
	var last record.Entry
	defer func() { err = errors.Join(err, p.flush(&last, since)) }()
	for e, err := range entries {
		if err != nil {
			return err
		}
		if err := p.entry(&e); err != nil {
			return err
		}
		last, since = e, since+1
		if p.follow || since >= flushEvery {
			if err := p.flush(&last, since); err != nil {
				return err
			}
			since = 0
		}
		if e.Lost == 0 {
			if printed++; printed == p.limit {
				return nil
			}
		}
	}
	return nil
}

// flush writes what was printed, and tells that: since is how many entries that are.
func (p *recordPrinter) flush(last *record.Entry, since int) error {
	err := p.out.Flush()
	if err == nil && since > 0 && p.flushed != nil {
		p.flushed(last)
	}
	return err
}

func (p *recordPrinter) entry(e *record.Entry) error {
	switch {
	case p.a.flags.json:
		fields := map[string]any{"version": jsonVersion, "place": e.Place}
		if e.Lost > 0 {
			fields["lost"], fields["retired"] = e.Lost, e.Retired
		} else {
			fields["time"], fields["sequence"] = e.Time.UTC().Format(time.RFC3339Nano), e.Sequence
			if utf8.Valid(e.Data) {
				fields["data"] = string(e.Data)
			} else {
				fields["data_base64"] = base64.StdEncoding.EncodeToString(e.Data)
			}
		}
		b, err := json.Marshal(fields)
		if err == nil {
			_, err = fmt.Fprintf(p.out, "%s\n", b)
		}
		return err
	case e.Lost > 0 && e.Retired && p.name != "":
		p.a.warnf("%d records were removed before %q had read them: %d to %d", e.Lost, p.name, e.Place, e.Place+e.Lost-1)
		return nil
	case e.Lost > 0:
		p.a.warnf("%v", *e)
		return nil
	case p.prefixed:
		var head [4]byte
		binary.BigEndian.PutUint32(head[:], uint32(len(e.Data)))
		_, err := p.out.Write(head[:])
		if err == nil {
			_, err = p.out.Write(e.Data)
		}
		return err
	}
	_, err := p.out.Write(e.Data)
	if err == nil {
		_, err = io.WriteString(p.out, "\n")
	}
	return err
}
