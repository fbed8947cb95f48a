package report

import (
	"fmt"
	"math"
	"strings"
)

// An Axis is a growing quantity.
type Axis struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Points []int  `json:"points"`
}

// Growth holds the measurements along an axis, one at each point.
type Growth struct {
	Axis
	Values map[string]map[string]map[int]float64 `json:"values"` // by panel, contestant and point
}

// Add adds a value at the point n.
func (g *Growth) Add(panel, contestant string, n int, value float64) {
	if g.Values == nil {
		g.Values = map[string]map[string]map[int]float64{}
	}
	if g.Values[panel] == nil {
		g.Values[panel] = map[string]map[int]float64{}
	}
	if g.Values[panel][contestant] == nil {
		g.Values[panel][contestant] = map[int]float64{}
	}
	g.Values[panel][contestant][n] = value
}

// panels are the plots of a growth.
var panels = []struct{ id, title string }{
	{"p50", "latency, p50, µs"},
	{"rate", "requests per second"},
	{"cpu", "CPU per 1,000 requests, ms"},
	{"memory", "memory, MB"},
	{"start", "start-up time, ms"},
	{"idle", "idle CPU per second, ms"},
}

// Colours that are distinct for colour-blind readers too (Okabe and Ito), on white and on
// black.
var colours = map[string]string{"ours": "#0072b2", "raw": "#888888", "reverse": "#d55e00", "before": "#009e73"}

const (
	panelWidth, panelHeight = 360, 220
	left, right             = 58, 24
	top, bottom             = 34, 40
)

// Plot draws the growth as SVG: panels with a line for each contestant. The growing
// quantity has a logarithmic scale, the measurement a linear one.
func (g Growth) Plot(contestants []Contestant) string {
	var s strings.Builder
	rows := (len(g.Values) + 1) / 2
	width, height := 2*panelWidth, rows*panelHeight+24
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", width, height)
	fmt.Fprintf(&s, "<title>Growth with the number of %s</title>\n", g.Title)
	s.WriteString(`<rect width="100%" height="100%" fill="#ffffff"/>` + "\n")
	i := 0
	for _, p := range panels {
		if g.Values[p.id] == nil {
			continue
		}
		fmt.Fprintf(&s, `<g transform="translate(%d,%d)">`+"\n", i%2*panelWidth, i/2*panelHeight)
		g.panel(&s, p.id, p.title, contestants)
		s.WriteString("</g>\n")
		i++
	}
	x := left
	for _, c := range contestants {
		if colours[c.Name] == "" {
			continue
		}
		fmt.Fprintf(&s, `<rect x="%d" y="%d" width="16" height="3" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
			x, height-12, colours[c.Name], x+22, height-7, c.Name)
		x += 90
	}
	s.WriteString("</svg>\n")
	return s.String()
}

func (g Growth) panel(s *strings.Builder, id, title string, contestants []Contestant) {
	high := 0.0
	for _, of := range g.Values[id] {
		for _, v := range of {
			high = max(high, v)
		}
	}
	step := nice(high / 4)
	high = max(step, math.Ceil(high/step)*step)
	first, last := math.Log10(float64(g.Points[0])), math.Log10(float64(g.Points[len(g.Points)-1]))
	x := func(n int) float64 {
		return left + (math.Log10(float64(n))-first)/(last-first)*(panelWidth-left-right)
	}
	y := func(v float64) float64 { return panelHeight - bottom - v/high*(panelHeight-top-bottom) }

	fmt.Fprintf(s, `<text x="%d" y="20" font-weight="bold">%s</text>`+"\n", left, title)
	for v := 0.0; v <= high+step/2; v += step {
		fmt.Fprintf(s, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#dddddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, panelWidth-right, y(v), y(v), left-6, y(v)+4, axisNumber(v))
	}
	for _, n := range g.Points {
		fmt.Fprintf(s, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(n), panelHeight-bottom+16, thousands(int64(n)))
	}
	fmt.Fprintf(s, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+panelWidth-right)/2, panelHeight-bottom+31, g.Title)
	for _, c := range contestants {
		var points, dots string
		for _, n := range g.Points {
			if v, ok := g.Values[id][c.Name][n]; ok {
				points += fmt.Sprintf("%.1f,%.1f ", x(n), y(v))
				dots += fmt.Sprintf(`<circle cx="%.1f" cy="%.1f" r="2.5"/>`, x(n), y(v))
			}
		}
		if points != "" {
			fmt.Fprintf(s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/><g fill="%s">%s</g>`+"\n",
				strings.TrimSpace(points), colours[c.Name], colours[c.Name], dots)
		}
	}
}

// nice rounds a step up to 1, 2 or 5 times a power of ten.
func nice(step float64) float64 {
	if step <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, m := range []float64{1, 2, 5} {
		if step <= m*power {
			return m * power
		}
	}
	return 10 * power
}

func axisNumber(v float64) string {
	if v == math.Trunc(v) {
		return thousands(int64(v))
	}
	return fmt.Sprintf("%.3g", v)
}
