package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheBestRoundCounts(t *testing.T) {
	f := Figures{}
	for _, v := range []float64{120, 100, 110} {
		f.Add("latency1_p50", "ours", v)
		f.Add("rate32", "ours", v)
	}
	f.Add("latency1_p50", "raw", 80)
	if best, worst, _ := f.Best("latency1_p50", "ours"); best != 100 || worst != 120 {
		t.Errorf("less is better: %v, %v", best, worst)
	}
	if best, _, _ := f.Best("rate32", "ours"); best != 120 {
		t.Errorf("more is better: %v", best)
	}
	if ratio, ok := f.Ratio("latency1_p50", "ours", "raw"); ratio != 1.25 || !ok {
		t.Errorf("%v %v", ratio, ok)
	}
	if _, ok := f.Ratio("rate32", "ours", "raw"); ok {
		t.Error("there is a ratio to what was not measured")
	}
}

func TestGoalsAreJudged(t *testing.T) {
	r := Report{Figures: Figures{}}
	r.Figures.Add("rate32", "ours", 105)
	r.Figures.Add("rate32", "haproxy", 100)
	r.Figures.Add("memory_idle", "ours", 41)
	met := map[string]bool{}
	for _, o := range r.Outcomes() {
		met[o.Metric+" "+o.To] = o.Met
	}
	if len(met) != 2 || !met["rate32 haproxy"] || met["memory_idle "] {
		t.Errorf("%v", met)
	}
}

func TestGoalsNameWhatIsMeasured(t *testing.T) {
	for _, g := range Goals {
		if g.Of != "ours" || g.target() == "" {
			t.Errorf("%+v", g)
		}
	}
}

func TestPageHasCPUAndSwitchesPerRequestAndChunk(t *testing.T) {
	r := Report{Contestants: []Contestant{{Name: "ours"}, {Name: "haproxy"}}, Figures: Figures{}}
	for i, id := range []string{"cpu_request1", "switches_request1", "cpu_chunk1", "switches_chunk1"} {
		r.Figures.Add(id, "ours", 10.1+float64(i))
		r.Figures.Add(id, "haproxy", 20.1+float64(i))
	}
	page := r.markdown()
	for _, row := range []string{
		"| CPU per request, 1 connection, µs | 10.1 | 20.1 |", "| voluntary context switches per request, 1 connection | 11.1 | 21.1 |",
		"| CPU per chunk, 1 stream, µs | 12.1 | 22.1 |", "| voluntary context switches per chunk, 1 stream | 13.1 | 23.1 |",
	} {
		if !strings.Contains(page, row) {
			t.Errorf("no row %q in\n%s", row, page)
		}
	}
}

func TestKernelSamplesAreAttributedByThread(t *testing.T) {
	const perf = "# comment\n2   ;  70:profiled ;[kernel] ;[k] do_syscall_64\n1   ;  700:profiled ;[kernel] ;[k] do_syscall_64\n" +
		"1   ;  71:write-access ;[kernel] ;[k] do_syscall_64\n"
	shares, err := Attribute(strings.NewReader(perf), "70")
	if err != nil || shares[kernelRust] != 0.75 || shares[kernelNode] != 0.25 {
		t.Errorf("%v %v", shares, err)
	}
}

func TestOnlyTheMarkedPlaceIsWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "page.md")
	if err := os.Mkdir(filepath.Join(dir, "pictures"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := Report{Contestants: []Contestant{{Name: "ours", About: "us"}}, Figures: Figures{}}
	r.Figures.Add("rate32", "ours", 12345)
	growth := Growth{Axis: Axis{ID: "peers", Title: "peers", Points: []int{1, 100}}}
	growth.Add("rate", "ours", 1, 7)
	r.Growths = []Growth{growth}

	write("before\n" + begin + "\nold\n" + end + "\nafter\n")
	if err := r.Document(path); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	document := string(text)
	if !strings.HasPrefix(document, "before\n") || !strings.HasSuffix(document, end+"\nafter\n") || strings.Contains(document, "old") || !strings.Contains(document, "12,345") {
		t.Errorf("%s", document)
	}
	if picture, _ := os.ReadFile(filepath.Join(dir, "pictures", "bench-peers.svg")); !strings.Contains(string(picture), "<circle") {
		t.Errorf("%s", picture)
	}
	write("no place\n")
	if err := r.Document(path); err == nil {
		t.Error("a page without the place was written")
	}
}

func TestGoalsStayOutOfTheDocument(t *testing.T) {
	r := Report{Contestants: []Contestant{{Name: "ours", About: "us"}}, Figures: Figures{}}
	r.Figures.Add("memory_idle", "ours", 41)
	if len(r.Outcomes()) == 0 {
		t.Fatal("no goal was judged")
	}
	if page := r.markdown(); strings.Contains(page, "MISSED") {
		t.Errorf("%s", page)
	}
	var terminal strings.Builder
	r.Table(&terminal)
	if !strings.Contains(terminal.String(), "MISSED") {
		t.Errorf("%s", &terminal)
	}
}
