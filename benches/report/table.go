package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table writes the goals and then the figures, ratios first.
func (r Report) Table(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", r.Machine)
	if outcomes := r.Outcomes(); len(outcomes) > 0 {
		fmt.Fprintln(w, "\ngoals")
		align(w, r.goals(outcomes))
	}
	for _, links := range []bool{false, true} {
		if rows := r.rows(links); len(rows) > 1 {
			fmt.Fprintln(w, "\n"+r.caption())
			align(w, rows)
		}
	}
	if len(r.Profiles) > 0 {
		fmt.Fprintln(w, "\nwhere the proxy's CPU goes")
		align(w, r.profileRows())
	}
	fmt.Fprintln(w)
	for _, c := range r.Contestants {
		fmt.Fprintf(w, "  %-13s %s\n", c.Name, c.About)
	}
	for _, failure := range r.Failures {
		fmt.Fprintln(w, "\n"+failure)
	}
}

// caption describes the columns of the figures.
func (r Report) caption() string {
	if r.Rounds == 1 {
		return "one round"
	}
	return fmt.Sprintf("best of %d rounds, worst in brackets", r.Rounds)
}

// align writes rows, with the first column left-aligned and the others right-aligned.
func align(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				line += "  " + cell + space
			} else {
				line += "  " + space + cell
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

func (r Report) goals(outcomes []Outcome) [][]string {
	rows := [][]string{{"", "value", "goal", ""}}
	for _, o := range outcomes {
		mark := "met"
		if !o.Met {
			mark = "MISSED"
		}
		rows = append(rows, []string{metric(o.Metric).Title, o.value(), o.target(), mark})
	}
	return rows
}

// rows returns the table of figures with its head: of those over links, or of the others.
// Contestants without such figures are left out.
func (r Report) rows(links bool) [][]string {
	head := []string{""}
	var references []string
	for _, to := range []string{"raw", "reverse", "bare", "before"} {
		if r.Figures.has("ours", links) && r.Figures.has(to, links) {
			references, head = append(references, to), append(head, "ours/"+to)
		}
	}
	var columns []Contestant
	for _, c := range r.Contestants {
		if r.Figures.has(c.Name, links) {
			columns, head = append(columns, c), append(head, c.Name)
		}
	}
	rows := [][]string{head}
	for _, m := range Metrics {
		if m.Link != links || r.Figures[m.ID] == nil {
			continue
		}
		row := []string{m.name()}
		for _, to := range references {
			cell := ""
			if ratio, ok := r.Figures.Ratio(m.ID, "ours", to); ok {
				cell = fmt.Sprintf("%.2f", ratio)
			}
			row = append(row, cell)
		}
		for _, c := range columns {
			cell := ""
			if best, worst, ok := r.Figures.Best(m.ID, c.Name); ok {
				if cell = short(best); short(worst) != cell {
					cell += " (" + short(worst) + ")"
				}
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// has reports whether a contestant has figures over links, or others.
func (f Figures) has(contestant string, links bool) bool {
	for id, of := range f {
		if metric(id).Link == links && len(of[contestant]) > 0 {
			return true
		}
	}
	return false
}
