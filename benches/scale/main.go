// Scale determines the limits of several hosts: how evenly a tailnet that assigns clients,
// not requests, distributes the load of a Service; and how large a netmap and a policy a
// host can handle. It is not part of the proxy. docs/scaling.md explains the figures. The
// first table is the same in every run; times depend on the machine.
package main

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"remote-ollama-proxy/tests/tailnet/policy"
	"tailscale.com/net/tsaddr"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
	"tailscale.com/util/zstdframe"
	"tailscale.com/wgengine/filter"
)

func main() {
	fmt.Println("Waits as multiples of the mean answer time (median, 95th percentile), and the busiest host's load relative to an even share")
	fmt.Printf("%6s %9s %7s | %-28s | %-28s\n", "hosts", "clients", "demand", "each client to one host", "each request to the idlest")
	for _, hosts := range []int{2, 4, 16} {
		for _, each := range []int{5, 50} {
			for _, demand := range []demand{even, uneven} {
				clients := hosts * each
				fmt.Printf("%6d %9d %7s | %-28s | %-28s\n", hosts, clients, demand,
					simulate(hosts, clients, demand, byClient), simulate(hosts, clients, demand, byRequest))
			}
		}
	}
	fmt.Println("\nThe netmap of a host with its clients, and the time of one sweep over all of them")
	fmt.Printf("%9s %8s | %12s %12s | %12s %12s\n", "clients", "grants", "netmap", "compressed", "filter", "one sweep")
	for _, size := range [][2]int{{100, 1}, {1000, 1}, {10000, 1}, {100, 100}, {1000, 100}, {1000, 1000}} {
		weigh(size[0], size[1])
	}
}

// demand is how many requests the clients make.
type demand string

const (
	even   demand = "even"   // all the same
	uneven demand = "uneven" // 1, 1/2, 1/3, …, so that a few make most requests
)

// routing is how requests get to hosts.
type routing int

const (
	byClient  routing = iota // one host for all requests of a client, as a Service does
	byRequest                // the idlest host for each request, as a load balancer does
)

// slots is the number of running slots of a host (limits.running).
const slots = 4

// load is the offered load, as a share of the capacity.
const load = 0.7

type outcome struct{ median, late, busiest float64 }

func (o outcome) String() string {
	late := fmt.Sprintf("%.2f", o.late)
	if o.late > 50 { // bounded only by the end of the simulation
		late = "grows"
	}
	return fmt.Sprintf("%6.2f %6s   %4.2f", o.median, late, o.busiest)
}

// runs is the number of runs of each case, with other assignments of clients.
const runs = 20

// simulate simulates clients with random requests and a mean answer of 1.
func simulate(hosts, clients int, demand demand, routing routing) (sum outcome) {
	for run := range runs {
		o := once(rand.New(rand.NewPCG(uint64(run), uint64(hosts*clients))), hosts, clients, demand, routing)
		sum.median, sum.late, sum.busiest = sum.median+o.median/runs, sum.late+o.late/runs, sum.busiest+o.busiest/runs
	}
	return sum
}

func once(random *rand.Rand, hosts, clients int, demand demand, routing routing) outcome {
	weights, all := make([]float64, clients), 0.0
	for i := range weights {
		weights[i] = 1
		if demand == uneven {
			weights[i] = 1 / float64(i+1)
		}
		all += weights[i]
	}
	random.Shuffle(clients, func(i, j int) { weights[i], weights[j] = weights[j], weights[i] })
	busy, queues, work := make([]int, hosts), make([][]request, hosts), make([]float64, hosts)
	var events agenda
	ask := func(client int, now float64) {
		rate := load * float64(hosts*slots) * weights[client] / all
		heap.Push(&events, event{now + random.ExpFloat64()/rate, client, -1})
	}
	for client := range clients {
		ask(client, 0)
	}
	var waits []float64
	begin := func(host int, r request, now float64) {
		busy[host]++
		waits = append(waits, now-r.since)
		heap.Push(&events, event{now + r.takes, 0, host})
	}
	for len(waits) < requests*hosts {
		e := heap.Pop(&events).(event)
		if e.host >= 0 { // an answer ends
			busy[e.host]--
			if queue := queues[e.host]; len(queue) > 0 {
				queues[e.host] = queue[1:]
				begin(e.host, queue[0], e.at)
			}
			continue
		}
		ask(e.client, e.at)
		host := e.client % hosts // the same number at each host
		if routing == byRequest {
			for h := range hosts {
				if busy[h]+len(queues[h]) < busy[host]+len(queues[host]) {
					host = h
				}
			}
		}
		r := request{e.at, random.ExpFloat64()}
		work[host] += r.takes
		if busy[host] < slots {
			begin(host, r, e.at)
		} else {
			queues[host] = append(queues[host], r)
		}
	}
	slices.Sort(waits)
	total := 0.0
	for _, w := range work {
		total += w
	}
	at := func(p float64) float64 { return waits[int(p*float64(len(waits)))] }
	return outcome{at(0.5), at(0.95), slices.Max(work) * float64(hosts) / total}
}

// requests is the number for each host in a run, some hours' worth.
const requests = 5000

type request struct{ since, takes float64 }

type event struct {
	at     float64
	client int // that asks
	host   int // whose answer ends; -1: none
}

type agenda []event

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at < a[j].at }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(e any)        { *a = append(*a, e.(event)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	*a = (*a)[:last]
	return e
}

// weigh prints the line of a host with this many clients, which are admitted by this many
// grants, each for another group of clients.
func weigh(clients, grants int) {
	owners := map[string][]string{}
	var rules []any
	for g := range grants {
		tag := fmt.Sprintf("tag:g%d", g)
		owners[tag] = []string{}
		rules = append(rules, map[string]any{
			"src": []string{tag}, "dst": []string{"svc:ollama"}, "ip": []string{"tcp:11434"},
			"app": map[string]any{"remote-ollama-proxy.internal/cap/ollama": []any{map[string]any{"max_concurrent": 2}}},
		})
	}
	text, err := json.Marshal(map[string]any{"tagOwners": owners, "grants": rules})
	must(err)
	p, err := policy.Parse(text)
	must(err)
	service := policy.Node{ID: "svc:ollama", Service: "svc:ollama", Addresses: both(netip.MustParseAddr("100.127.0.1"))}
	var peers []*tailcfg.Node
	var nodes []policy.Node
	for i := range clients {
		ips := both(netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}))
		tags := []string{fmt.Sprintf("tag:g%d", i%grants)}
		nodes = append(nodes, policy.Node{ID: fmt.Sprint(i), Tags: tags, Addresses: ips})
		prefixes := []netip.Prefix{netip.PrefixFrom(ips[0], 32), netip.PrefixFrom(ips[1], 128)}
		peers = append(peers, &tailcfg.Node{
			ID: tailcfg.NodeID(i), StableID: tailcfg.StableNodeID(fmt.Sprintf("n%dCNTRL", i)), Name: fmt.Sprintf("client-%d.tail1234.ts.net.", i),
			User: 1, Key: key.NewNode().Public(), DiscoKey: key.NewDisco().Public(), Machine: key.NewMachine().Public(),
			Addresses: prefixes, AllowedIPs: prefixes, Tags: tags, HomeDERP: 1, Cap: tailcfg.CurrentCapabilityVersion, MachineAuthorized: true,
			Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:41641"), netip.MustParseAddrPort("192.168.1.2:41641")},
			Hostinfo:  (&tailcfg.Hostinfo{OS: "linux", Hostname: fmt.Sprintf("client-%d", i)}).View(),
		})
	}
	compiled := p.Compile(service, nodes)
	netmap, err := json.Marshal(peers)
	must(err)
	rulesText, err := json.Marshal(compiled)
	must(err)
	matches, err := filter.MatchesFromFilterRules(compiled)
	must(err)
	f := filter.New(matches, nil, nil, nil, nil, logger.Discard)
	begun := time.Now()
	for _, n := range nodes {
		for i, ip := range n.Addresses {
			f.CheckTCP(ip, service.Addresses[i], 11434)
			f.CapsWithValues(ip, service.Addresses[i])
		}
	}
	judged := time.Since(begun)
	fmt.Printf("%9d %8d | %9.1f kB %9.1f kB | %9.1f kB %12s\n", clients, grants, kB(netmap),
		kB(zstdframe.AppendEncode(nil, netmap, zstdframe.FastestCompression)), kB(rulesText), judged.Round(10*time.Microsecond))
}

func kB(b []byte) float64 { return float64(len(b)) / 1000 }

func both(v4 netip.Addr) []netip.Addr { return []netip.Addr{v4, tsaddr.Tailscale4To6(v4)} }

func must(err error) {
	if err != nil {
		panic(err)
	}
}
