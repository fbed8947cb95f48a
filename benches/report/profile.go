package report

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Profile is the distribution of the proxy's CPU time during one kind of operation.
type Profile struct {
	What   string             `json:"what"` // the operation: "request"
	CPU    float64            `json:"cpu"`  // of one operation, µs
	Shares map[string]float64 `json:"shares"`
}

// A component is a part of the program, recognized by the names of its functions. The
// first match counts.
type component struct {
	name      string
	functions *regexp.Regexp
}

const (
	kernelNode = "kernel: the node's packets and threads"
	kernelRust = "kernel: socketpair, Ollama's socket, log file"
	elsewhere  = "other"
)

var components = []component{
	{"node: between netstack and the proxy", regexp.MustCompile(`remote-ollama-proxy/libtailscale|_?cgoexp|crosscall|cgocallback|^conn[A-Z]|^tailscale_`)},
	{"node: WireGuard and its packets", regexp.MustCompile(`wireguard|magicsock|net/batching|net/tstun|wgengine/filter|net/packet|^crypto/|chacha20|poly1305|^golang\.org/x/net|^net\.|^net/`)},
	{"node: TCP (netstack)", regexp.MustCompile(`gvisor|netstack`)},
	{"node: Go's runtime", regexp.MustCompile(`^runtime[./]|^internal/|^sync[./]|^syscall\.|^time\.|^gcWriteBarrier|^gogo|^aeshash|^mem(eq|hash)|^context\.`)},
	{"node: the rest of Tailscale", regexp.MustCompile(`tailscale\.com|^reflect\.|^slices\.|^math/|^bytes\.|^io\.`)},
	{"log and metrics", regexp.MustCompile(`remote_ollama_proxy::audit|tracing|prometheus|core::fmt|std::io|ryu|itoa|chrono|humantime`)},
	{"policy, admission and disconnect detection", regexp.MustCompile(`remote_ollama_proxy`)},
	{"HTTP (hyper)", regexp.MustCompile(`hyper|httparse|http::|http_body|bytes::`)},
	{"tasks and timers (tokio)", regexp.MustCompile(`tokio|mio::|futures`)},
	{"memory (jemalloc, copies)", regexp.MustCompile(`_rjem|^je_|malloc|calloc|do_rallocx|^_?_?mem(move|cpy|set|cmp)|alloc::|sdallocx`)},
}

// Attribute returns each component's share of the samples of a `perf report`. Its lines
// are the number of samples, the thread as ID:NAME, the object and the function, separated
// by semicolons. The proxy's own code runs on the main thread, which has the id of the
// process, and on the threads that write logs (src/sink.rs).
func Attribute(perf io.Reader, process string) (map[string]float64, error) {
	shares, all := map[string]float64{}, 0.0
	lines := bufio.NewScanner(perf)
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), ";", 4)
		if len(fields) != 4 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		samples, err := strconv.ParseFloat(strings.TrimSpace(fields[0]), 64)
		if err != nil {
			return nil, fmt.Errorf("perf report: %q: %w", lines.Text(), err)
		}
		id, thread, _ := strings.Cut(strings.TrimSpace(fields[1]), ":")
		ours := id == process || strings.HasPrefix(thread, "write-")
		shares[componentOf(ours, strings.TrimSpace(fields[3]))] += samples
		all += samples
	}
	for name := range shares {
		shares[name] /= all
	}
	return shares, lines.Err()
}

func componentOf(ours bool, function string) string {
	mode, name, _ := strings.Cut(function, " ")
	if mode == "[k]" {
		if ours {
			return kernelRust
		}
		return kernelNode
	}
	for _, r := range components {
		if r.functions.MatchString(strings.TrimSpace(name)) {
			return r.name
		}
	}
	return elsewhere
}

// profileRows returns a table of all profiles, the largest share first.
func (r Report) profileRows() [][]string {
	head := []string{""}
	names := map[string]bool{}
	for _, p := range r.Profiles {
		head = append(head, "µs per "+p.What)
		for name := range p.Shares {
			names[name] = true
		}
	}
	sorted := slices.SortedFunc(maps.Keys(names), func(a, b string) int {
		return int(1e6 * (r.Profiles[0].Shares[b] - r.Profiles[0].Shares[a]))
	})
	rows := [][]string{head}
	for _, name := range sorted {
		row := []string{name}
		for _, p := range r.Profiles {
			row = append(row, fmt.Sprintf("%.1f (%.0f %%)", p.CPU*p.Shares[name], 100*p.Shares[name]))
		}
		rows = append(rows, row)
	}
	sum := []string{"total"}
	for _, p := range r.Profiles {
		sum = append(sum, fmt.Sprintf("%.1f", p.CPU))
	}
	return append(rows, sum)
}
