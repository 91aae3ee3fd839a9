package play

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"

	"rsc.io/script"
)

// givenVerbs are verbs of what a script is given: by its user, and by other programs.
func givenVerbs() []verb {
	return []verb{
		{
			name: "default", args: "NAME VALUE…", summary: "set a variable, unless it has a value: by --set, or before",
			example: "default trials 3\nfor trial in 1..$trials\n  echo $trial\nend", check: (*checker).defaultVerb, do: (*Player).defaultVerb,
		},
		{
			name: "rows", args: "NAME sh COMMAND…", summary: "add to a table what a command prints: CSV, a row a line",
			detail:  "A first line that names the columns is passed over. See 'sh' for the command.",
			example: "table moved servers ring minimum mod_n\nrows moved sh viewring ring moved --servers 3..5 --csv",
			long:    true, check: (*checker).rows, do: (*Player).rows,
		},
		{
			name: "group", args: "NAME FROM", summary: "add to a table a row for all rows of another one that have the same value in its first column",
			detail:  "The other columns are named COLUMN_median, _min, _max, _mean or _sum, of a column of FROM, or count.",
			example: "table trials n took_ms\nrow trials 1 20\nrow trials 1 30\nrow trials 2 25\ntable took n count took_ms_median took_ms_max\ngroup took trials",
			check:   (*checker).group, do: (*Player).group,
		},
	}
}

func (c *checker) defaultVerb(args []string) error {
	switch {
	case len(args) < 2:
		return script.ErrUsage
	case !name.MatchString(args[0]):
		return badName(args[0])
	}
	if _, ok := c.state.LookupEnv(args[0]); ok {
		return nil
	}
	return c.state.Setenv(args[0], strings.Join(args[1:], " "))
}

func (p *Player) defaultVerb(_ context.Context, args []string) (string, error) {
	if _, ok := p.runner.state.LookupEnv(args[0]); ok {
		return "", nil
	}
	return "", p.set(args[0], strings.Join(args[1:], " "))
}

func (c *checker) rows(args []string) error {
	if len(args) < 3 || args[1] != "sh" {
		return script.ErrUsage
	}
	if err := c.sh(args[2:]); err != nil || isUnknown(args[0]) {
		return err
	}
	_, err := c.columns(args[0])
	return err
}

func (p *Player) rows(ctx context.Context, args []string) (string, error) {
	t := p.tables[args[0]]
	if t == nil {
		return "", fmt.Errorf("there is no table %s", args[0])
	}
	out, err := p.external(ctx, args[2:], io.Discard)
	if err != nil {
		return out, err
	}
	lines := csv.NewReader(strings.NewReader(out))
	lines.FieldsPerRecord = -1 // the table says which row is too long
	read, err := lines.ReadAll()
	if err != nil {
		return out, fmt.Errorf("what it printed is not CSV: %w", err)
	}
	for i, row := range read {
		if i == 0 && slices.Equal(row, t.Columns) {
			continue
		}
		if err := t.Add(row...); err != nil {
			return out, fmt.Errorf("line %d of what it printed: %w", i+1, err)
		}
	}
	return out, t.Write(p.out)
}
