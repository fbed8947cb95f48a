package node

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Connections wait in the poller, not in threads, and need little memory. The server is
// another process, so that only its side is measured.
func TestOpenConnectionsAreCheap(t *testing.T) {
	const count, limit = 2000, 32 << 10
	raiseFileLimit(t)
	tn := newTailnet(t)
	client := tn.upNode(t, "client")
	server := startServer(t, tn)
	p := &pair{t: t, client: client, addr: server.hello.Addr}

	var nears []*peerEnd
	open := func(count int) {
		for range count {
			near, err := p.dial()
			must(t, err)
			nears = append(nears, near)
		}
	}
	open(100) // so that one-time costs are not counted
	before := server.measure(100)
	open(count)
	after := server.measure(100 + count)
	each := (after.RSS - before.RSS) / count
	t.Logf("RSS %d KB, then %d KB: %d bytes a connection; threads %d, then %d; goroutines %d, then %d",
		before.RSS>>10, after.RSS>>10, each, before.Threads, after.Threads, before.Goroutines, after.Goroutines)
	// The runtime itself may start a few.
	if added := after.Threads - before.Threads; added > 8 {
		t.Errorf("%d connections added %d threads", count, added)
	}
	if !raceDetector && each > limit {
		t.Errorf("a connection costs %d bytes of RSS, at most %d are allowed", each, limit)
	}
	for _, near := range nears {
		near.close()
	}
}

// Socketpairs and TCP buffers of both sides hold what one side does not read.
func TestUnreadBytesAreBounded(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	for name, e := range map[string]end{"peer": near, "host": far} {
		taken, chunk := 0, make([]byte, 16<<10)
		for {
			e.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := e.Write(chunk)
			taken += n
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				break
			}
			must(t, err)
		}
		t.Logf("%s: %d KiB taken", name, taken>>10)
		if limit := 1536 << 10; taken > limit {
			t.Errorf("%s: %d unread bytes were taken, want at most %d", name, taken, limit)
		}
	}
}

// figures are the measurements of a server process.
type figures struct {
	Addr                string
	RSS                 int
	Threads, Goroutines int
}

type serverProcess struct {
	t     *testing.T
	hello figures
	in    *os.File
	out   *json.Decoder
}

// startServer runs TestServerProcess below in another process.
func startServer(t *testing.T, tn *tailnet) *serverProcess {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe, "-test.run=^TestServerProcess$")
	cmd.Env = append(os.Environ(), "NODE_TEST_CONTROL="+tn.url)
	cmd.Stderr = os.Stderr
	stdin, in, err := os.Pipe()
	must(t, err)
	out, stdout, err := os.Pipe()
	must(t, err)
	cmd.Stdin, cmd.Stdout = stdin, stdout
	must(t, cmd.Start())
	stdin.Close()
	stdout.Close()
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	s := &serverProcess{t: t, in: in, out: json.NewDecoder(out)}
	must(t, s.out.Decode(&s.hello))
	return s
}

// measure waits until the process has accepted a total number of connections.
func (s *serverProcess) measure(accepted int) (f figures) {
	s.t.Helper()
	_, err := fmt.Fprintln(s.in, accepted)
	must(s.t, err)
	must(s.t, s.out.Decode(&f))
	return f
}

// TestServerProcess is not a test, but the other process of TestOpenConnectionsAreCheap.
func TestServerProcess(t *testing.T) {
	url := os.Getenv("NODE_TEST_CONTROL")
	if url == "" {
		return
	}
	raiseFileLimit(t)
	n := (&tailnet{url: url}).upNode(t, "server")
	listener := listen(t, n)
	out := json.NewEncoder(os.Stdout)
	must(t, out.Encode(figures{Addr: netip.AddrPortFrom(n.Addresses()[0], testPort).String()}))
	accepted := make(chan hostEnd, 4096)
	go func() {
		for {
			e, err := acceptFrom(listener)
			if err != nil {
				return
			}
			accepted <- e
		}
	}()
	var ends []hostEnd
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		wanted, err := strconv.Atoi(lines.Text())
		must(t, err)
		for len(ends) < wanted {
			ends = append(ends, <-accepted)
		}
		must(t, out.Encode(figures{
			RSS: residentBytes(t), Threads: pprof.Lookup("threadcreate").Count(), Goroutines: runtime.NumGoroutine(),
		}))
	}
	os.Exit(0) // closes all connections
}

func residentBytes(t *testing.T) int {
	b, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(os.Getpid())).Output()
	must(t, err)
	kb, err := strconv.Atoi(strings.TrimSpace(string(b)))
	must(t, err)
	return kb << 10
}

func TestClosedConnectionsLeaveNothing(t *testing.T) {
	p := newPair(t)
	churn := func(count int) {
		for i := range count {
			near, far := p.connect()
			switch i % 4 {
			case 0:
				near.abort()
				far.close()
			case 1:
				far.abort()
				near.close()
			case 2:
				near.closeWrite()
				near.close()
				far.close()
			default:
				far.close()
				near.close()
			}
		}
		eventually(t, "no connection remains", func() bool { return countConns() == 0 })
	}
	churn(200)
	fds, goroutines, heap := openFiles(t), runtime.NumGoroutine(), heapInUse()
	churn(churned)
	eventually(t, "no more descriptors or goroutines than before", func() bool {
		return openFiles(t) <= fds && runtime.NumGoroutine() <= goroutines
	})
	// The stack keeps the memory of a closed connection for a moment.
	var grown int64
	eventually(t, "at most 8 MB more memory than before", func() bool {
		grown = heapInUse() - heap
		return grown <= 8<<20
	})
	t.Logf("descriptors %d, then %d; goroutines %d, then %d; the heap grew by %d bytes",
		fds, openFiles(t), goroutines, runtime.NumGoroutine(), grown)
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// There are more connections than netstack's queue of packets holds.
func TestCloseWithManyConnections(t *testing.T) {
	p := newPair(t)
	raiseFileLimit(t)
	var ends []end
	for range 1500 {
		near, far := p.connect()
		ends = append(ends, near, far)
	}
	for _, e := range ends[:1500] { // half of the connections are closing
		e.close()
	}
	must(t, p.server.Close())
	must(t, p.client.Close())
	for _, e := range ends[1500:] {
		e.close()
	}
	eventually(t, "no connection remains", func() bool { return countConns() == 0 })
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	must(t, err)
	return len(entries)
}

func raiseFileLimit(t *testing.T) {
	t.Helper()
	var lim unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &lim))
	lim.Cur = min(lim.Max, 10240) // macOS refuses more than OPEN_MAX
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &lim))
}
