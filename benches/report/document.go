package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The part of the document between these two lines is generated.
const (
	begin = "<!-- made by `make bench write=1`; what is written here by hand is lost -->"
	end   = "<!-- end of what is made -->"
)

// Document writes the figures into the generated part of a Markdown file, and the plots
// into pictures/ next to it.
func (r Report) Document(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s: the lines %q and %q are not in it, between which the figures go", path, begin, end)
	}
	for _, g := range r.Growths {
		picture := filepath.Join(filepath.Dir(path), "pictures", g.picture())
		if err := os.WriteFile(picture, []byte(g.Plot(r.Contestants)), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(path, []byte(before+begin+"\n\n"+r.markdown()+end+after), 0o644)
}

func (g Growth) picture() string { return "bench-" + g.ID + ".svg" }

func (r Report) markdown() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s; %s.\n\n", r.Machine, r.caption())
	if outcomes := r.Outcomes(); len(outcomes) > 0 {
		s.WriteString("### Goals\n\n" + grid(r.goals(outcomes)) + "\n")
	}
	s.WriteString("### Figures\n\n" + grid(r.rows()) + "\n")
	for _, c := range r.Contestants {
		fmt.Fprintf(&s, "- **%s**: %s\n", c.Name, c.About)
	}
	for _, failure := range r.Failures {
		fmt.Fprintf(&s, "- %s\n", failure)
	}
	s.WriteString("\n")
	if len(r.Profiles) > 0 {
		s.WriteString("### Where the proxy's CPU goes\n\n" + grid(r.profileRows()) + "\n")
	}
	if len(r.Growths) > 0 {
		s.WriteString("### Growth\n\n")
	}
	for _, g := range r.Growths {
		fmt.Fprintf(&s, "![effect of more %s](pictures/%s)\n\n", g.Title, g.picture())
	}
	return s.String()
}

// grid returns a Markdown table.
func grid(rows [][]string) string {
	out := ""
	for i, row := range rows {
		out += "| " + strings.Join(row, " | ") + " |\n"
		if i == 0 {
			out += "|---|" + strings.Repeat("---:|", len(row)-1) + "\n"
		}
	}
	return out
}
