// Benches compares the proxy with alternatives, on a test tailnet. scripts/bench.sh builds
// everything and runs it.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"remote-ollama-proxy/benches/contestants"
	"remote-ollama-proxy/benches/load"
	"remote-ollama-proxy/benches/report"
	"remote-ollama-proxy/benches/tailnet"
)

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.bin, "bin", "", "`folder` of the contestants' programs")
	flag.StringVar(&o.only, "only", "", "contestants, separated by commas; all if empty")
	flag.StringVar(&o.parts, "parts", "", "speed, link, memory, growth or profile, separated by commas; all if empty")
	flag.StringVar(&o.what, "what", "", "`words`, separated by commas: only the measurements of speed and link whose name contains one")
	flag.IntVar(&o.rounds, "rounds", 3, "number of rounds")
	flag.StringVar(&o.json, "json", "", "`file` for all results, as JSON")
	flag.StringVar(&o.document, "document", "", "Markdown `file` whose figures and pictures are regenerated")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		log.Fatalf("bench: %v", err)
	}
}

type options struct {
	bin, only, parts string
	what             string
	json, document   string
	rounds           int
}

// check rejects options with which nothing would be measured.
func (o options) check() error {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	for _, l := range report.Links {
		names = append(names, l.Name())
	}
	for _, word := range list(o.what) {
		if !strings.Contains(strings.Join(names, "; "), word) {
			return fmt.Errorf("what=%s: no measurement has that in its name: %s", word, strings.Join(names, "; "))
		}
	}
	if o.rounds < 1 {
		return fmt.Errorf("rounds=%d: want 1 or more", o.rounds)
	}
	return nil
}

// bench is one run.
type bench struct {
	ctx      context.Context
	options  options
	dir      string
	tailnet  *tailnet.Tailnet
	upstream string
	figures  report.Figures
	growths  []report.Growth
	profiles []report.Profile
	failures []string
	started  int

	chosen  []contestants.Contestant
	missing []string
	earlier *report.Report // the last run's, if this one measures only some parts of the document
}

// failed records a failure of a contestant, which is a result too. The others are still
// measured.
func (b *bench) failed(c *contestants.Running, what string, err error) {
	first, _, _ := strings.Cut(err.Error(), "\n") // each of a thousand connections may fail
	failure := fmt.Sprintf("%s fails at %s: %s", c.Name, what, first)
	log.Printf("%s; end of its output:\n%s", failure, c.Output())
	if !slices.Contains(b.failures, failure) {
		b.failures = append(b.failures, failure)
	}
}

func run(ctx context.Context, o options) error {
	if err := o.check(); err != nil {
		return err
	}
	chosen, missing, err := contestants.Choose(o.bin, list(o.only))
	if err != nil {
		return err
	}
	var earlier *report.Report
	if o.document != "" && o.parts != "" {
		r, err := report.Read(o.json)
		if err != nil {
			return fmt.Errorf("the other parts of the document come from the last run: %w", err)
		}
		earlier = &r
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tn, err := tailnet.Start(ctx, dir)
	if err != nil {
		return err
	}
	upstream, end, err := startUpstream(filepath.Join(o.bin, "upstream"))
	if err != nil {
		return err
	}
	defer end()
	b := &bench{
		ctx: ctx, options: o, dir: dir, tailnet: tn, upstream: upstream, figures: report.Figures{},
		chosen: chosen, missing: missing, earlier: earlier,
	}
	if err := b.measure(); err != nil {
		return err
	}
	return b.publish()
}

// measure takes the chosen measurements.
func (b *bench) measure() error {
	parts := list(b.options.parts)
	for _, part := range []struct {
		name    string
		measure func() error
	}{{"speed", b.speed}, {"link", b.link}, {"memory", b.memory}, {"profile", b.profile}, {"growth", b.growth}} {
		if len(parts) > 0 && !slices.Contains(parts, part.name) {
			continue
		}
		if err := part.measure(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		if err := b.save(); err != nil {
			return err
		}
	}
	return nil
}

// unfinished is the file for the results of a run that has not ended.
func (b *bench) unfinished() string { return b.options.json + ".unfinished" }

// save writes the results so far to a file of its own, since a complete run takes more than
// an hour. The last complete run's results stay as they are.
func (b *bench) save() error { return b.whole().Write(b.unfinished()) }

// whole returns the results so far with those of the parts that the run leaves out.
func (b *bench) whole() report.Report {
	if b.earlier == nil {
		return b.report()
	}
	return b.earlier.With(b.report())
}

// publish prints the results and writes the files of the options. It fails if nothing
// was measured.
func (b *bench) publish() error {
	r := b.report()
	r.Table(os.Stdout)
	if len(r.Figures) == 0 && len(r.Profiles) == 0 && len(r.Growths) == 0 {
		return errors.New("nothing was measured")
	}
	if err := os.Rename(b.unfinished(), b.options.json); err != nil {
		return err
	}
	if b.options.document == "" {
		return nil
	}
	return b.whole().Document(b.options.document)
}

// report returns the results so far.
func (b *bench) report() report.Report {
	r := report.Report{
		Machine: report.ThisMachine(), Rounds: b.options.rounds, Figures: b.figures, Growths: b.growths, Profiles: b.profiles, Failures: b.failures,
	}
	for _, c := range b.chosen {
		r.Contestants = append(r.Contestants, report.Contestant{Name: c.Name, About: c.About})
	}
	for _, name := range b.missing {
		r.Failures = append(r.Failures, name+" was not measured: its program is missing")
	}
	return r
}

// among returns the chosen contestants with one of these names.
func (b *bench) among(names []string) (some []contestants.Contestant) {
	for _, c := range b.chosen {
		if slices.Contains(names, c.Name) {
			some = append(some, c)
		}
	}
	return some
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

// startUpstream starts the stand-in for Ollama and returns its address.
func startUpstream(program string) (addr string, end func(), err error) {
	c := exec.Command(program)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	line := bufio.NewScanner(out)
	if !line.Scan() {
		return "", nil, errors.New("the upstream did not print its address")
	}
	return line.Text(), func() { in.Close(); c.Wait() }, nil
}

// start starts a contestant as a node and connects the client to it once.
func (b *bench) start(c contestants.Contestant) (*contestants.Running, load.Dial, error) {
	key, err := b.tailnet.Key()
	if err != nil {
		return nil, nil, err
	}
	b.started++
	name := fmt.Sprintf("%s-%d", c.Name, b.started)
	r, err := c.Start(b.ctx, contestants.Site{
		Bin: b.options.bin, Dir: filepath.Join(b.dir, name), Name: name, Control: b.tailnet.Control.URL(), Key: key,
		Upstream: b.upstream, Port: tailnet.Port,
	})
	if err != nil {
		return nil, nil, err
	}
	dial := func(ctx context.Context) (net.Conn, error) { return b.tailnet.Dial(ctx, name) }
	if !c.IsTailnet() {
		dial = func(ctx context.Context) (net.Conn, error) { return contestants.Loopback(ctx, b.upstream) }
	}
	if err := load.Idle(dial, 1, func() error { return nil }); err != nil {
		output := r.Output()
		r.Stop()
		return nil, nil, fmt.Errorf("%s does not answer: %w; end of its output:\n%s", c.Name, err, output)
	}
	return r, dial, nil
}
