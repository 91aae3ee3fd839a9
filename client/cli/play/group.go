package play

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"rsc.io/script"

	"viewring/internal/chart"
)

// countColumn is the column of a grouped table that says how many rows came together.
const countColumn = "count"

// aggregates are what is made of the numbers of a group, sorted, by the end of a column's name.
var aggregates = map[string]func(sorted []float64) float64{
	"min": func(sorted []float64) float64 { return sorted[0] },
	"max": func(sorted []float64) float64 { return sorted[len(sorted)-1] },
	"median": func(sorted []float64) float64 {
		half := len(sorted) / 2
		if len(sorted)%2 == 1 {
			return sorted[half]
		}
		return (sorted[half-1] + sorted[half]) / 2
	},
	"mean": func(sorted []float64) float64 { return sum(sorted) / float64(len(sorted)) },
	"sum":  sum,
}

func sum(numbers []float64) (all float64) {
	for _, n := range numbers {
		all += n
	}
	return all
}

// grouped is a column of a grouped table: a figure of a column of the other one.
type grouped struct {
	of   int // -1: it counts
	make func(sorted []float64) float64
}

// grouping reads how the columns of a table come of another one's.
func grouping(columns, from []string) (by int, all []grouped, err error) {
	if by = slices.Index(from, columns[0]); by < 0 {
		return 0, nil, fmt.Errorf("the rows come together by %s, which the other table does not have: it has %s", columns[0], strings.Join(from, ", "))
	}
	for _, c := range columns[1:] {
		g := grouped{of: -1}
		if c != countColumn {
			at := max(0, strings.LastIndex(c, "_"))
			g.of, g.make = slices.Index(from, c[:at]), aggregates[c[min(len(c), at+1):]]
			if g.of < 0 || g.make == nil {
				return 0, nil, fmt.Errorf("column %s is neither %s nor a column of the other table with _%s behind it",
					c, countColumn, strings.Join(slices.Sorted(maps.Keys(aggregates)), ", _"))
			}
		}
		all = append(all, g)
	}
	return by, all, nil
}

func (c *checker) group(args []string) error {
	if len(args) != 2 {
		return script.ErrUsage
	}
	if isUnknown(args[0] + args[1]) {
		return nil
	}
	columns, err := c.columns(args[0])
	if err != nil {
		return err
	}
	from, err := c.columns(args[1])
	if err != nil {
		return err
	}
	_, _, err = grouping(columns, from)
	return err
}

func (p *Player) group(_ context.Context, args []string) (string, error) {
	to, from := p.tables[args[0]], p.tables[args[1]]
	if to == nil || from == nil {
		return "", fmt.Errorf("there is no table %s or none %s", args[0], args[1])
	}
	by, columns, err := grouping(to.Columns, from.Columns)
	if err != nil {
		return "", err
	}
	var values []string // in the order in which they come first
	rows := map[string][][]string{}
	for _, row := range from.Rows {
		value := row[by]
		if rows[value] == nil {
			values = append(values, value)
		}
		rows[value] = append(rows[value], row)
	}
	for _, value := range values {
		made := []string{value}
		for _, g := range columns {
			cell, err := g.cell(rows[value])
			if err != nil {
				return "", fmt.Errorf("%s of %s: %w", from.Columns[max(0, g.of)], value, err)
			}
			made = append(made, cell)
		}
		if err := to.Add(made...); err != nil {
			return "", err
		}
	}
	return "", to.Write(p.out)
}

// cell is the figure of some rows; empty if none of them has a number.
func (g grouped) cell(rows [][]string) (string, error) {
	if g.of < 0 {
		return strconv.Itoa(len(rows)), nil
	}
	var numbers []float64
	for _, row := range rows {
		if row[g.of] == "" {
			continue
		}
		n, ok := chart.Number(row[g.of])
		if !ok {
			return "", fmt.Errorf("%q is not a number", row[g.of])
		}
		numbers = append(numbers, n)
	}
	if len(numbers) == 0 {
		return "", nil
	}
	slices.Sort(numbers)
	return strconv.FormatFloat(math.Round(g.make(numbers)*1000)/1000, 'f', -1, 64), nil
}
