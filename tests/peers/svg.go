package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"
)

// The plot's measures, in its own units.
const (
	plotWidth   = 900
	plotHeight  = 360
	plotLeft    = 70
	plotTop     = 30
	plotBottom  = 40
	bucket      = 50 * time.Millisecond
	latencyLow  = 100 * time.Microsecond
	latencyHigh = 10 * time.Second
)

// plot draws, for each bucket of time, the median and the longest of the sets that
// were acknowledged in it, on a logarithmic scale.
func plot(samples []sample) []byte {
	buckets := make([][]time.Duration, timelineEnd/bucket+1)
	for _, s := range samples {
		if i := int((s.at + s.took) / bucket); i < len(buckets) {
			buckets[i] = append(buckets[i], s.took)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<text x="%d" y="18">how long a set of 1 KiB takes, %d writers: median (blue) and longest (red) of each %v</text>`+"\n", plotLeft, timelineWriter, bucket)
	for l := latencyLow; l <= latencyHigh; l *= 10 {
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%v</text>`+"\n", plotLeft, y(l), plotWidth, plotLeft-6, y(l)+4, l)
	}
	for t := time.Duration(0); t <= timelineEnd; t += 2 * time.Second {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%v</text>`+"\n", x(t), plotHeight-plotBottom+18, t)
	}
	mark(&b, "kill -9", killAt)
	mark(&b, "join", joinAt)
	line(&b, "red", buckets, func(sorted []time.Duration) time.Duration { return sorted[len(sorted)-1] })
	line(&b, "blue", buckets, func(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] })
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// mark draws a moment.
func mark(b *bytes.Buffer, what string, at time.Duration) {
	fmt.Fprintf(b, `<path d="M%.1f %dV%d" stroke="black" stroke-dasharray="4"/><text x="%.1f" y="%d">%s</text>`+"\n",
		x(at), plotTop, plotHeight-plotBottom, x(at)+4, plotTop+12, what)
}

// line draws one figure of the buckets that have any sets; in an empty one nothing
// was acknowledged, and the line has a gap.
func line(b *bytes.Buffer, color string, buckets [][]time.Duration, figure func(sorted []time.Duration) time.Duration) {
	fmt.Fprintf(b, `<path fill="none" stroke="%s" stroke-width="1.2" d="`, color)
	pen := "M"
	for i, took := range buckets {
		if len(took) == 0 {
			pen = "M"
			continue
		}
		slices.Sort(took)
		fmt.Fprintf(b, "%s%.1f %.1f", pen, x(time.Duration(i)*bucket), y(figure(took)))
		pen = "L"
	}
	b.WriteString("\"/>\n")
}

func x(t time.Duration) float64 {
	return plotLeft + float64(t)/float64(timelineEnd)*(plotWidth-plotLeft-10)
}

func y(latency time.Duration) float64 {
	part := math.Log10(float64(max(latency, latencyLow))/float64(latencyLow)) / math.Log10(float64(latencyHigh)/float64(latencyLow))
	return float64(plotHeight-plotBottom) - part*float64(plotHeight-plotBottom-plotTop)
}
