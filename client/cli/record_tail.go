package cli

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"viewring/client/record"
)

func (a *app) recordTailCmd() *cobra.Command {
	var follow, prefixed bool
	var from string
	var limit int64
	cmd := &cobra.Command{
		Use:   "tail [-f] PATH",
		Short: "print records",
		Long: `Print records, in their order: a record a line; or with --length-prefixed each after
its length in 4 bytes, big endian; or with --json an object a line, with place, time,
and data, or data_base64 where it is not UTF-8. With -f it goes on with what is
appended, for which it waits at a server.

--from says where to begin: start, end, a place, a time (2026-01-31T12:00:00Z), or how
long ago (10m). What can't be read of any copy is told on standard error, or as an
object with lost, and reading goes on.`,
		Example: "  viewring record tail -f /events\n  viewring record tail /events --from 10m --json\n  viewring record tail /events --from 1000 --limit 5",
		Args:    wants("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := parseFrom(from, time.Now())
			switch {
			case err != nil:
				return usagef("record tail: --from is %v, not %q", err, from)
			case limit < 0:
				return usagef("record tail: --limit is 0 or more")
			case prefixed && a.flags.json:
				return usagef("record tail: --json or --length-prefixed")
			}
			return a.onRecords(func(ctx context.Context, s *record.Store, args []string) error {
				f, err := s.Open(ctx, args[0])
				if err != nil {
					return err
				}
				p := &recordPrinter{a: a, out: bufio.NewWriterSize(a.env.Stdout, 64<<10), prefixed: prefixed, follow: follow}
				return p.print(ctx, f, at, limit)
			})(cmd, args)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "wait for more, until Ctrl-C")
	f.StringVar(&from, "from", "start", "begin at `WHERE`: start, end, a place, or a time")
	f.Int64Var(&limit, "limit", 0, "end after so many `records` (0: no limit)")
	f.BoolVar(&prefixed, "length-prefixed", false, "print each record after its length, 4 bytes, big endian")
	return cmd
}

// recordPrinter prints entries.
type recordPrinter struct {
	a        *app
	out      *bufio.Writer
	prefixed bool
	follow   bool
}

func (p *recordPrinter) print(ctx context.Context, f *record.File, from record.From, limit int64) error {
	defer p.out.Flush()
	printed := int64(0)
	for e, err := range f.Read(ctx, from, p.follow) {
		if err != nil {
			return err
		}
		if err := p.entry(&e); err != nil {
			return err
		}
		if p.follow && p.out.Buffered() > 0 {
			if err := p.out.Flush(); err != nil {
				return err
			}
		}
		if e.Lost == 0 {
			if printed++; printed == limit {
				return p.out.Flush()
			}
		}
	}
	return p.out.Flush()
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
