package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table writes the goals and then the figures, ratios first.
func (f Figures) Table(w io.Writer, contestants []string) {
	if outcomes := f.Outcomes(); len(outcomes) > 0 {
		fmt.Fprintln(w, "\ngoals")
		for _, o := range outcomes {
			mark := ""
			if !o.Met {
				mark = "   <-- MISSED"
			}
			fmt.Fprintf(w, "  %s %10s   %s%s\n", pad(metric(o.Metric).Title, 46), o.said(), o.Meant(), mark)
		}
	}
	fmt.Fprintln(w, "\nfigures: best of the rounds and by how much they differ")
	rows := f.rows(contestants)
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := "  " + pad(row[0], widths[0])
		for i, cell := range row[1:] {
			line += "  " + strings.Repeat(" ", widths[i+1]-utf8.RuneCountInString(cell)) + cell
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// said is the goal's value as the table has it.
func (o Outcome) said() string {
	if o.To == "" {
		return short(o.Value) + " " + metric(o.Metric).Unit
	}
	return fmt.Sprintf("%.2f", o.Value)
}

// rows is the table of figures with its head.
func (f Figures) rows(contestants []string) [][]string {
	references := []string{"raw", "reverse", "before"}
	head := []string{""}
	for _, to := range references {
		if f.has("ours") && f.has(to) {
			head = append(head, "ours:"+to)
		}
	}
	ratios := len(head) - 1
	out := [][]string{append(head, contestants...)}
	for _, m := range Metrics {
		if f[m.ID] == nil {
			continue
		}
		row := []string{m.Title + ", " + m.Unit}
		for _, head := range out[0][1 : 1+ratios] {
			cell := ""
			if ratio, ok := f.Ratio(m.ID, "ours", strings.TrimPrefix(head, "ours:")); ok {
				cell = fmt.Sprintf("%.2f", ratio)
			}
			row = append(row, cell)
		}
		for _, c := range contestants {
			cell := ""
			if best, spread, ok := f.Best(m.ID, c); ok {
				cell = short(best)
				if len(f[m.ID][c]) > 1 {
					cell += fmt.Sprintf(" ±%2.0f%%", 100*spread)
				}
			}
			row = append(row, cell)
		}
		out = append(out, row)
	}
	return out
}

func (f Figures) has(contestant string) bool {
	for _, of := range f {
		if len(of[contestant]) > 0 {
			return true
		}
	}
	return false
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}
