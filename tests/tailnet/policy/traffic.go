package policy

import (
	"fmt"
	"slices"
	"strings"

	"tailscale.com/tailcfg"
	"tailscale.com/types/ipproto"
)

// traffic is one entry of a grant's "ip": protocols and their ports.
type traffic struct {
	protos []int // IANA numbers; nil is TCP, UDP and ICMP, the packet filter's default
	ports  tailcfg.PortRange
}

// parseTraffic parses an entry of "ip" as Tailscale's own code does: "*", "443", "80-443", "tcp:443", "udp:*",
// "*:443". Protocols without ports accept only "*".
func parseTraffic(text string) (t traffic, err error) {
	ranges, err := tailcfg.ParseProtoPortRanges([]string{text})
	if err != nil {
		return t, fmt.Errorf("%q: %w", text, err)
	}
	return newTraffic(ranges[0].Proto, ranges[0].Ports)
}

func newTraffic(proto int, ports tailcfg.PortRange) (t traffic, err error) {
	t.ports = ports
	if proto != 0 {
		t.protos = []int{proto}
	}
	if proto != 0 && !slices.Contains(withPorts, proto) && ports != tailcfg.PortRangeAny {
		return t, fmt.Errorf("protocol %d has no ports: want *", proto)
	}
	return t, nil
}

// withPorts are the protocols with ports. A test may name only these.
var withPorts = []int{int(ipproto.TCP), int(ipproto.UDP), int(ipproto.SCTP)}

// parseProtocol parses a name or an IANA number; "" and 0 are the default set.
func parseProtocol(text string) (int, error) {
	var proto ipproto.Proto
	err := proto.UnmarshalText([]byte(text))
	return int(proto), err
}

// parsePorts parses "*", "443" or "80-443".
func parsePorts(text string) (tailcfg.PortRange, error) {
	_, ports, err := tailcfg.ParseHostPortRange("*:" + text)
	return ports, err
}

// parseTarget splits a destination of an acl, "tag:x:80,443".
func parseTarget(text string) (host string, ports []tailcfg.PortRange, err error) {
	i := strings.LastIndex(text, ":")
	if i < 0 {
		return "", nil, fmt.Errorf("%q lacks the ports: want destination:ports, such as tag:server:443", text)
	}
	for entry := range strings.SplitSeq(text[i+1:], ",") {
		r, err := parsePorts(entry)
		if err != nil {
			return "", nil, fmt.Errorf("%q: %w", text, err)
		}
		ports = append(ports, r)
	}
	return strings.Trim(text[:i], "[]"), ports, nil
}
