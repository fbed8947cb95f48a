package archive

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A feature that a newer tailscale.com adds would otherwise be in the archive without a decision.
func TestEachFeatureIsKeptOrOmittedOnPurpose(t *testing.T) {
	decided := decisions(t)
	known := featuresOf(t)
	for _, name := range known {
		if _, ok := decided[name]; !ok {
			t.Errorf("features.txt lacks %s, a feature of the version in go.mod: say there whether it is kept or omitted, and why", name)
		}
	}
	var omitted []string
	for name, decision := range decided {
		if !slices.Contains(known, name) {
			t.Errorf("features.txt names %s, which the version in go.mod does not have", name)
		}
		if decision == "omitted" {
			omitted = append(omitted, "ts_omit_"+name)
		}
	}
	slices.Sort(omitted)
	if got := strings.Split(tags(), ","); !slices.Equal(got, omitted) {
		t.Errorf("build-tags.txt has\n%v\nbut features.txt omits\n%v", got, omitted)
	}
}

// decisions returns the lines of features.txt: name and "kept" or "omitted".
func decisions(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../features.txt")
	must(t, err)
	decided := map[string]string{}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if len(words) < 3 || words[1] != "kept" && words[1] != "omitted" {
			t.Errorf("features.txt: %q: want a name, kept or omitted, and a reason", line)
			continue
		}
		if _, twice := decided[words[0]]; twice {
			t.Errorf("features.txt names %s twice", words[0])
		}
		decided[words[0]] = words[1]
	}
	return decided
}

// featuresOf returns the features of the version in go.mod, by the names of the files that omit them.
func featuresOf(t *testing.T) (names []string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "tailscale.com/feature/buildfeatures").Output()
	must(t, err)
	entries, err := os.ReadDir(strings.TrimSpace(string(out)))
	must(t, err)
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), "_disabled.go")
		if name, isFeature := strings.CutPrefix(name, "feature_"); ok && isFeature {
			names = append(names, name)
		}
	}
	if len(names) < 50 {
		t.Errorf("feature/buildfeatures has only the features %v", names)
	}
	return names
}
