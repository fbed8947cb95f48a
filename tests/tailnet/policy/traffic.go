package policy

import (
	"fmt"
	"strconv"
	"strings"

	"tailscale.com/tailcfg"
)

// traffic is one entry of a grant's "ip": protocols and the ports in them.
type traffic struct {
	protos []int // IANA numbers; nil is TCP, UDP and ICMP, the packet filter's default
	ports  tailcfg.PortRange
}

// protocols are the names that Tailscale documents for "ip" and "proto".
var protocols = map[string][]int{
	"icmp": {1, 58}, "igmp": {2}, "ipv4": {4}, "ip-in-ip": {4}, "tcp": {6}, "egp": {8},
	"igp": {9}, "udp": {17}, "gre": {47}, "esp": {50}, "ah": {51}, "sctp": {132},
}

// parseTraffic reads an entry of "ip": "*", "443", "80-443", "tcp:443", "udp:*".
func parseTraffic(text string) (traffic, error) {
	proto, ports, named := strings.Cut(text, ":")
	if !named {
		proto, ports = "", text
	}
	t := traffic{}
	var err error
	if named {
		if t.protos, err = parseProtocol(proto); err != nil {
			return t, err
		}
	}
	t.ports, err = parsePorts(ports)
	return t, err
}

// parseProtocol reads a name or an IANA number; "" is the default set.
func parseProtocol(text string) ([]int, error) {
	if text == "" {
		return nil, nil
	}
	if numbers, ok := protocols[text]; ok {
		return numbers, nil
	}
	if n, err := strconv.ParseUint(text, 10, 8); err == nil && n > 0 {
		return []int{int(n)}, nil
	}
	return nil, fmt.Errorf("%q is no protocol: want a name such as tcp or udp, or a number from 1 to 255", text)
}

// parsePorts reads "*", "443" or "80-443".
func parsePorts(text string) (tailcfg.PortRange, error) {
	if text == "*" {
		return tailcfg.PortRangeAny, nil
	}
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	first, err1 := strconv.ParseUint(low, 10, 16)
	last, err2 := strconv.ParseUint(high, 10, 16)
	if err1 != nil || err2 != nil || first > last {
		return tailcfg.PortRange{}, fmt.Errorf("%q is no port: want *, a number from 0 to 65535, or a range such as 80-443", text)
	}
	return tailcfg.PortRange{First: uint16(first), Last: uint16(last)}, nil
}

// parseTarget reads a destination of an acl, "tag:x:80,443", into its two parts.
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
