package report

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// A Report is the result of one run.
type Report struct {
	Machine     string       `json:"machine"`
	Rounds      int          `json:"rounds"`
	Contestants []Contestant `json:"contestants"`
	Figures     Figures      `json:"figures"` // of every round, by metric and contestant
	Growths     []Growth     `json:"growth"`
	Profiles    []Profile    `json:"profiles"`
	Failures    []string     `json:"failures"`
}

// A Contestant is one column.
type Contestant struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// ThisMachine describes the machine.
func ThisMachine() string {
	model := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d cores, Linux %s", model, runtime.NumCPU(), strings.TrimSpace(string(release)))
}

// Write writes the report as JSON.
func (r Report) Write(path string) error {
	text, err := json.MarshalIndent(struct {
		Report
		Goals []Outcome `json:"goals"`
	}{r, r.Outcomes()}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// Read reads a report of Write.
func Read(path string) (r Report, err error) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

// With returns this report, updated with a later one of some parts.
func (r Report) With(later Report) Report {
	for id, of := range later.Figures {
		r.Figures[id] = of
		r.Rounds = later.Rounds
	}
	if len(later.Profiles) > 0 {
		r.Profiles = later.Profiles
	}
	if len(later.Growths) > 0 {
		r.Growths = later.Growths
	}
	for _, failure := range later.Failures {
		if !slices.Contains(r.Failures, failure) {
			r.Failures = append(r.Failures, failure)
		}
	}
	return r
}
