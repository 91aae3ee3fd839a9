package chart

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The measures of a plot.
const (
	width      = 560 * vg.Length(1) // points
	height     = 320 * vg.Length(1)
	margin     = 8 * vg.Length(1)
	textSize   = 10 * vg.Length(1)
	lineHeight = 1.25 // of a title of several lines
	dots       = 144  // of the PNG, an inch
	barsPart   = 0.8  // of the room between two rows that their bars fill
	ticksMax   = 12   // that stand at the very values of X
	roundMax   = 6    // ticks of an axis that has any numbers
	nameMax    = 20   // letters of a row's name below the axis
	nearly     = 0.8  // of the largest value: if the smallest is below, the axis begins at 0
)

// colors are told apart by people who see no red or no green: Okabe and Ito's, without yellow.
var colors = [seriesMax]color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, {0xd5, 0x5e, 0x00, 0xff}, {0x00, 0x9e, 0x73, 0xff},
	{0xcc, 0x79, 0xa7, 0xff}, {0xe6, 0x9f, 0x00, 0xff}, {0x56, 0xb4, 0xe9, 0xff},
}

// shapes and dashes tell series apart without colors.
var (
	shapes = [seriesMax]draw.GlyphDrawer{
		draw.CircleGlyph{}, draw.BoxGlyph{}, draw.TriangleGlyph{}, draw.RingGlyph{}, draw.SquareGlyph{}, draw.PyramidGlyph{},
	}
	dashes = [seriesMax][]vg.Length{nil, {6, 3}, {2, 2}, {8, 3, 2, 3}, {4, 4}, {1, 3}}
	gray   = color.RGBA{0xdd, 0xdd, 0xdd, 0xff}
	dark   = color.RGBA{0x33, 0x33, 0x33, 0xff}
)

// Draw draws the plot as SVG and as PNG.
func (p *Plot) Draw() (svg, png []byte, err error) {
	if err := p.Check(); err != nil {
		return nil, nil, err
	}
	vector := vgsvg.NewWith(vgsvg.UseWH(width, height))
	pixels := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dots))}
	for _, c := range []vg.CanvasSizer{vector, pixels} {
		if err := p.drawOn(c); err != nil {
			return nil, nil, fmt.Errorf("plot %s: %w", p.name(), err)
		}
	}
	var a, b bytes.Buffer
	if _, err := vector.WriteTo(&a); err != nil {
		return nil, nil, fmt.Errorf("plot %s: SVG: %w", p.name(), err)
	}
	if _, err := pixels.WriteTo(&b); err != nil {
		return nil, nil, fmt.Errorf("plot %s: PNG: %w", p.name(), err)
	}
	return bytes.ReplaceAll(a.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;")), b.Bytes(), nil
}

// drawing is a plot that is being drawn.
type drawing struct {
	*Plot
	plot   *plot.Plot
	legend plot.Legend
	xs     []float64 // of the rows; NaN: none
	named  bool      // they are places of names
}

// drawOn draws the title, the legend to the right of all lines, and the plot in the rest.
func (p *Plot) drawOn(sizer vg.CanvasSizer) error {
	d := &drawing{Plot: p, plot: plot.New(), legend: plot.NewLegend()}
	d.plot.BackgroundColor = nil // the legend's room has it too
	d.axes()
	if err := d.series(); err != nil {
		return err
	}
	if err := d.marks(); err != nil {
		return err
	}
	c := draw.New(sizer)
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	c = d.title(c)
	if len(p.Y) > 1 {
		d.legend.Top, d.legend.Left = true, true
		d.legend.Padding = 4
		d.legend.TextStyle.Font = sized(textSize)
		size := d.legend.Rectangle(c).Size()
		right := draw.Crop(c, c.Size().X-size.X-margin, 0, 0, 0)
		d.legend.Draw(right)
		c = draw.Crop(c, 0, -size.X-2*margin, 0, 0)
	}
	d.plot.Draw(draw.Crop(c, 0, -margin, 0, 0))
	return nil
}

// sized is the font of all text.
func sized(size vg.Length) font.Font {
	return font.Font{Typeface: plot.DefaultFont.Typeface, Variant: "Sans", Size: size}
}

// title writes the title over the plot, on as many lines as it takes, and returns the room below.
func (d *drawing) title(c draw.Canvas) draw.Canvas {
	title := d.Title
	if title == "" {
		title = d.Table.Title
	}
	style := d.plot.Title.TextStyle
	style.Font, style.XAlign, style.YAlign = sized(textSize+2), draw.XLeft, draw.YTop
	line := ""
	flush := func() {
		if line != "" {
			c.FillText(style, vg.Point{X: c.Min.X, Y: c.Max.Y}, line)
			c.Max.Y -= style.Font.Size * lineHeight
		}
		line = ""
	}
	for _, word := range strings.Fields(title) {
		if line != "" && style.Width(line+" "+word) > c.Size().X {
			flush()
		}
		line = strings.TrimSpace(line + " " + word)
	}
	flush()
	c.Max.Y -= margin
	return c
}

// axes prepares the axes for the values of the table.
func (d *drawing) axes() {
	x, y := &d.plot.X, &d.plot.Y
	for _, axis := range []*plot.Axis{x, y} {
		axis.Label.TextStyle.Font, axis.Tick.Label.Font = sized(textSize), sized(textSize-1)
		axis.Label.Padding = 4
		axis.Tick.Marker = round{}
	}
	x.Label.Text, y.Label.Text = d.XLabel, d.YLabel
	if x.Label.Text == "" {
		x.Label.Text = d.X
	}
	if y.Label.Text == "" && len(d.Y) == 1 {
		y.Label.Text = d.Y[0]
	}
	y.AutoRescale = true // to the next tick
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = nil, gray
	d.plot.Add(grid)
	column := d.column(d.X)
	d.named = d.Kind == Bar || !d.Table.Numeric(column)
	for i, row := range d.Table.Rows {
		f, ok := Number(row[column])
		switch {
		case d.named:
			f = float64(i)
		case !ok:
			f = math.NaN()
		}
		d.xs = append(d.xs, f)
	}
	if d.named {
		d.names(column)
	} else if ticks := d.fewTicks(); ticks != nil {
		x.Tick.Marker = ticks
	}
	if d.LogX && !d.named {
		x.Scale = plot.LogScale{}
		if d.fewTicks() == nil {
			x.Tick.Marker = decades{}
		}
	}
	if d.LogY {
		y.Scale, y.Tick.Marker, y.AutoRescale = plot.LogScale{}, decades{}, false
	}
}

// names puts the names of the rows below the axis, aslant where they would run into each other.
func (d *drawing) names(column int) {
	var ticks plot.ConstantTicks
	style, sum := d.plot.X.Tick.Label, vg.Length(0)
	for i, row := range d.Table.Rows {
		name := row[column]
		if runes := []rune(name); len(runes) > nameMax {
			name = string(runes[:nameMax-1]) + "…"
		}
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: name})
		sum = max(sum, style.Width(name+"  "))
	}
	d.plot.X.Tick.Marker = ticks
	if sum*vg.Length(len(ticks)) > width*2/3 {
		d.plot.X.Tick.Label.Rotation = math.Pi / 7
		d.plot.X.Tick.Label.XAlign, d.plot.X.Tick.Label.YAlign = draw.XRight, draw.YCenter
	}
}

// fewTicks are ticks at the very values of X, if those are few and not too near to each other.
func (d *drawing) fewTicks() plot.Ticker {
	place := func(f float64) float64 { return f }
	if d.LogX {
		place = math.Log
	}
	var ticks plot.ConstantTicks
	low, high := math.Inf(1), math.Inf(-1)
	for _, f := range d.xs {
		if f == f {
			low, high = min(low, place(f)), max(high, place(f))
		}
	}
	for _, f := range d.xs {
		if f != f {
			continue
		}
		fresh := true
		for _, t := range ticks {
			if t.Value == f {
				fresh = false
			} else if math.Abs(place(t.Value)-place(f)) < (high-low)/(2*ticksMax) {
				return nil
			}
		}
		if fresh {
			ticks = append(ticks, plot.Tick{Value: f, Label: decimal(f)})
		}
	}
	if len(ticks) > ticksMax {
		return nil
	}
	return ticks
}

// series draws each column.
func (d *drawing) series() error {
	from, to := math.Inf(1), math.Inf(-1)
	for i, name := range d.Y {
		var points plotter.XYs
		column := d.column(name)
		var runs []plotter.XYs // between gaps
		for r, row := range d.Table.Rows {
			f, ok := Number(row[column])
			if !ok || d.xs[r] != d.xs[r] {
				points = nil
				continue
			}
			if points == nil {
				runs = append(runs, nil)
			}
			points = append(points, plotter.XY{X: d.xs[r], Y: f})
			runs[len(runs)-1] = points
			from, to = min(from, f), max(to, f)
		}
		if err := d.one(i, name, runs); err != nil {
			return err
		}
	}
	y := &d.plot.Y
	if !d.LogY && from >= 0 && (d.Kind == Bar || from < nearly*to) {
		y.Min = 0 // differences look as large as they are
	}
	if from == to {
		y.Min, y.Max = min(0, from), max(to*1.2, from+1)
	}
	if d.LogY {
		y.Min, y.Max = math.Pow(10, math.Floor(math.Log10(from))), math.Pow(10, math.Ceil(math.Log10(to)+1e-9))
	}
	return nil
}

// one draws one column.
func (d *drawing) one(i int, name string, runs []plotter.XYs) error {
	if d.Kind == Bar {
		return d.bars(i, name, runs)
	}
	first := true
	for _, run := range runs {
		line, points, err := plotter.NewLinePoints(run)
		if err != nil {
			return err
		}
		line.Color, line.Width, line.Dashes = colors[i], 1.5, dashes[i]
		points.Color, points.Shape, points.Radius = colors[i], shapes[i], 2.5
		if len(run) > 60 {
			points.Radius = 1 // they would hide the line
		}
		thumbs := []plot.Thumbnailer{points}
		d.plot.Add(points)
		if d.Kind != Scatter {
			d.plot.Add(line)
			thumbs = []plot.Thumbnailer{line, points}
		}
		if first {
			d.legend.Add(name, thumbs...)
		}
		first = false
	}
	return nil
}

// bars draws a column as bars beside those of the other columns.
func (d *drawing) bars(i int, name string, runs []plotter.XYs) error {
	values := make(plotter.Values, len(d.xs))
	for _, run := range runs {
		for _, at := range run {
			values[int(at.X)] = at.Y
		}
	}
	room := (width * 2 / 3) / vg.Length(len(d.xs))
	each := room * barsPart / vg.Length(len(d.Y))
	bars, err := plotter.NewBarChart(values, each)
	if err != nil {
		return err
	}
	bars.Color, bars.LineStyle.Width = colors[i], 0
	bars.Offset = each * (vg.Length(i) - vg.Length(len(d.Y)-1)/2)
	d.plot.Add(bars)
	d.legend.Add(name, bars)
	return nil
}

// marks writes the texts of a column where they belong.
func (d *drawing) marks() error {
	if d.Marks == "" {
		return nil
	}
	column := d.column(d.Marks)
	at := plotter.XYLabels{}
	for i, row := range d.Table.Rows {
		if row[column] == "" || d.xs[i] != d.xs[i] {
			continue
		}
		line, err := plotter.NewLine(plotter.XYs{{X: d.xs[i], Y: d.plot.Y.Min}, {X: d.xs[i], Y: d.plot.Y.Max}})
		if err != nil {
			return err
		}
		line.Color, line.Dashes = dark, []vg.Length{2, 2}
		d.plot.Add(line)
		at.XYs = append(at.XYs, plotter.XY{X: d.xs[i], Y: d.plot.Y.Max})
		at.Labels = append(at.Labels, row[column])
	}
	if len(at.XYs) == 0 {
		return nil
	}
	labels, err := plotter.NewLabels(at)
	if err != nil {
		return err
	}
	for i := range labels.TextStyle {
		labels.TextStyle[i] = text.Style{
			Color: dark, Font: sized(textSize - 2), Handler: plot.DefaultTextHandler,
			Rotation: -math.Pi / 2, XAlign: draw.XLeft, YAlign: draw.YBottom,
		}
	}
	labels.Offset = vg.Point{X: 2, Y: -2}
	d.plot.Add(labels)
	return nil
}

// round has ticks at one, two or five times a power of ten.
type round struct{}

func (round) Ticks(low, high float64) []plot.Tick {
	least := (high - low) / roundMax
	step := math.Pow(10, math.Floor(math.Log10(least)))
	for _, times := range []float64{2, 2.5, 2} { // 2, 5, 10 of what it was
		if step < least {
			step *= times
		}
	}
	var ticks []plot.Tick
	for n := math.Floor(low / step); n <= math.Ceil(high/step); n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: decimal(n * step)})
	}
	return ticks
}

// decades are the ticks of a logarithmic axis that are not too many: powers of ten, and where
// those are few, twice and five times them.
type decades struct{}

func (decades) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	few := math.Log10(high/low) < 2.5
	for power := math.Pow(10, math.Floor(math.Log10(low))); power <= high*1.0001; power *= 10 {
		for n := 1.0; n < 10; n++ {
			tick := plot.Tick{Value: n * power}
			if n == 1 || few && (n == 2 || n == 5) {
				tick.Label = decimal(n * power)
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// decimal writes a number with commas between its thousands.
func decimal(f float64) string {
	s := strconv.FormatFloat(f, 'g', 6, 64)
	if math.Abs(f) >= 1e-4 && math.Abs(f) < 1e12 {
		s = strconv.FormatFloat(math.Round(f*1e6)/1e6, 'f', -1, 64)
	}
	whole, part, fraction := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	if !strings.ContainsAny(s, "e") {
		for i := len(whole) - 3; i > 0; i -= 3 {
			whole = whole[:i] + "," + whole[i:]
		}
	}
	if fraction {
		part = "." + part
	}
	return sign + whole + part
}
