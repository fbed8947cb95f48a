package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
	"tailscale.com/tailcfg"
	"tailscale.com/types/ipproto"
	"tailscale.com/types/logger"
	"tailscale.com/wgengine/filter"
)

// test is one of the policy's tests: what src must and must not reach.
type test struct {
	Src             string         `json:"src"`
	Accept          []string       `json:"accept"`
	Deny            []string       `json:"deny"`
	Proto           string         `json:"proto"`
	SrcPostureAttrs map[string]any `json:"srcPostureAttrs"` // without effect: posture conditions are rejected
}

func (p *Policy) readTests(d document) error {
	return each("tests", d.Tests, func(t test) error {
		if len(t.Accept) == 0 && len(t.Deny) == 0 {
			return errors.New("neither accept nor deny")
		}
		p.tests = append(p.tests, t)
		return nil
	})
}

// runTests returns an error for each failed expectation.
func (p *Policy) runTests() error {
	var failed []error
	for i, t := range p.tests {
		if err := p.runTest(t); err != nil {
			failed = append(failed, fmt.Errorf("tests[%d]: %w", i, err))
		}
	}
	return errors.Join(failed...)
}

func (p *Policy) runTest(t test) error {
	protos := []int{int(ipproto.TCP), int(ipproto.UDP)} // the default is either
	if t.Proto != "" {
		proto, err := parseProtocol(t.Proto)
		if err != nil {
			return fmt.Errorf("proto: %w", err)
		}
		if proto != 0 {
			protos = []int{proto}
		}
		if proto != 0 && !slices.Contains(withPorts, proto) {
			return fmt.Errorf("proto: %q: test protocol must be tcp, udp, sctp, or empty", t.Proto)
		}
	}
	sources, err := p.testNodes(t.Src, sourceAddresses)
	if err == nil && strings.HasPrefix(t.Src, "svc:") {
		err = fmt.Errorf("%q is a Service, which opens no connections", t.Src)
	}
	if err != nil {
		return fmt.Errorf("src: %w", err)
	}
	var failed []error
	check := func(target string, want bool) {
		targets, port, err := p.testTargets(target)
		if err != nil {
			failed = append(failed, err)
		}
		for _, src := range sources {
			for _, dst := range targets {
				got, err := p.Admits(src, dst, protos, port)
				switch {
				case err != nil:
					failed = append(failed, err)
				case got && !want:
					failed = append(failed, fmt.Errorf("%s reaches %s, but must not", t.Src, target))
				case !got && want:
					failed = append(failed, fmt.Errorf("%s does not reach %s, but must", t.Src, target))
				}
			}
		}
	}
	for _, target := range t.Accept {
		check(target, true)
	}
	for _, target := range t.Deny {
		check(target, false)
	}
	return errors.Join(failed...)
}

// Addresses of the nodes of a test: the last ones of Tailscale's ranges, which this
// tailnet never assigns.
var (
	sourceAddresses = []netip.Addr{netip.MustParseAddr("100.127.255.253"), netip.MustParseAddr("fd7a:115c:a1e0:ffff:ffff:ffff:ffff:fffd")}
	targetAddresses = []netip.Addr{netip.MustParseAddr("100.127.255.254"), netip.MustParseAddr("fd7a:115c:a1e0:ffff:ffff:ffff:ffff:fffe")}
)

// testNodes makes the nodes for a name: one, or one for each member of a group.
func (p *Policy) testNodes(name string, addresses []netip.Addr) ([]Node, error) {
	s, err := p.selector(name)
	if err != nil {
		return nil, err
	}
	n := Node{ID: fmt.Sprint(name, " at ", addresses), Addresses: addresses}
	switch {
	case strings.HasPrefix(name, "tag:"):
		n.Tags = []string{name}
	case strings.HasPrefix(name, "svc:"):
		n.Service = name
	case strings.HasPrefix(name, "group:"):
		var members []Node
		for _, user := range p.groups[name] {
			member := n
			member.User = user
			members = append(members, member)
		}
		return members, nil
	case strings.Contains(name, "@") && !strings.HasPrefix(name, "user:"):
		n.User = strings.ToLower(name)
	case s.within.IsValid() && s.within.From() != s.within.To():
		return nil, fmt.Errorf("%q is several addresses: a test is about one", name)
	case s.within.IsValid():
		n.Addresses = []netip.Addr{s.within.From()}
	default:
		return nil, fmt.Errorf("%q is no user, group, tag, host or address", name)
	}
	return []Node{n}, nil
}

// testTargets makes the nodes for a destination such as "tag:x:443".
func (p *Policy) testTargets(target string) ([]Node, uint16, error) {
	name, ports, err := parseTarget(target)
	if err != nil {
		return nil, 0, err
	}
	if len(ports) != 1 || ports[0].First != ports[0].Last {
		return nil, 0, fmt.Errorf("%q: a test names one port", target)
	}
	targets, err := p.testNodes(name, targetAddresses)
	if err != nil {
		return nil, 0, fmt.Errorf("%q: %w", target, err)
	}
	return targets, ports[0].First, nil
}

func admits(rules []tailcfg.FilterRule, src, dst netip.Addr, port uint16, proto ipproto.Proto) (bool, error) {
	matches, err := filter.MatchesFromFilterRules(rules)
	if err != nil {
		return false, err
	}
	var local netipx.IPSetBuilder
	local.Add(dst)
	addresses, err := local.IPSet()
	if err != nil {
		return false, err
	}
	f := filter.New(matches, nil, addresses, nil, nil, logger.Discard)
	return f.Check(src, dst, port, proto) == filter.Accept, nil
}
