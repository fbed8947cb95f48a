package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"go4.org/netipx"
	"tailscale.com/tailcfg"
	"tailscale.com/types/ipproto"
	"tailscale.com/types/logger"
	"tailscale.com/wgengine/filter"
)

// test is one entry of the policy's tests: what src must and must not reach.
type test struct {
	Src             string         `json:"src"`
	Accept          []string       `json:"accept"`
	Deny            []string       `json:"deny"`
	Proto           string         `json:"proto"`
	SrcPostureAttrs map[string]any `json:"srcPostureAttrs"` // conditions on it are refused, so it has no effect
}

func (p *Policy) readTests(d document) error {
	return each("tests", d.Tests, func(t test) error {
		if len(t.Accept) == 0 && len(t.Deny) == 0 {
			return errors.New("neither accept nor deny: the test would test nothing")
		}
		p.tests = append(p.tests, t)
		return nil
	})
}

// runTests returns every expectation that the rules do not meet.
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
	protos := []int{int(ipproto.TCP)}
	if t.Proto != "" {
		var err error
		if protos, err = parseProtocol(t.Proto); err != nil {
			return fmt.Errorf("proto: %w", err)
		}
	}
	sources, err := p.imagine(t.Src, sourceAddress)
	if err != nil {
		return fmt.Errorf("src: %w", err)
	}
	var failed []error
	check := func(target string, want bool) {
		for _, src := range sources {
			got, err := p.reaches(src, target, ipproto.Proto(protos[0]))
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
	for _, target := range t.Accept {
		check(target, true)
	}
	for _, target := range t.Deny {
		check(target, false)
	}
	return errors.Join(failed...)
}

// Addresses for nodes that only exist in a test: the last ones of Tailscale's
// range, which no tailnet this small gives out.
var (
	sourceAddress = netip.MustParseAddr("100.127.255.253")
	targetAddress = netip.MustParseAddr("100.127.255.254")
)

// imagine makes the nodes that name stands for: one, or one for each member of
// a group.
func (p *Policy) imagine(name string, ip netip.Addr) ([]Node, error) {
	s, err := p.selector(name)
	if err != nil {
		return nil, err
	}
	n := Node{ID: name + " at " + ip.String(), Addresses: []netip.Addr{ip}}
	switch {
	case strings.HasPrefix(name, "tag:"):
		n.Tags = []string{name}
	case strings.HasPrefix(name, "group:"):
		var members []Node
		for _, user := range p.groups[name] {
			member := n
			member.User = user
			members = append(members, member)
		}
		return members, nil
	case strings.Contains(name, "@") && !strings.HasPrefix(name, "user:"):
		n.User = name
	case s.within.IsValid():
		n.Addresses = []netip.Addr{s.within.From()}
	default:
		return nil, fmt.Errorf("%q is no user, group, tag, host or address", name)
	}
	return []Node{n}, nil
}

// reaches reports whether src gets through to target ("tag:x:443"). The answer
// comes from the packet filter itself, over the rules that the target would
// be sent.
func (p *Policy) reaches(src Node, target string, proto ipproto.Proto) (bool, error) {
	name, ports, err := parseTarget(target)
	if err != nil {
		return false, err
	}
	if len(ports) != 1 || ports[0].First != ports[0].Last {
		return false, fmt.Errorf("%q: a test names one port", target)
	}
	targets, err := p.imagine(name, targetAddress)
	if err != nil {
		return false, fmt.Errorf("%q: %w", target, err)
	}
	for _, dst := range targets {
		ok, err := admits(p.Compile(dst, []Node{src, dst}), src.Addresses[0], dst.Addresses[0], ports[0].First, proto)
		if err != nil || !ok {
			return false, err
		}
	}
	return len(targets) > 0, nil
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
