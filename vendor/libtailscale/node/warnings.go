package node

import (
	"regexp"
	"slices"
	"strings"

	"tailscale.com/health"
	"tailscale.com/tsconst"
)

var (
	localPort  = regexp.MustCompile(`\b(read|write) (tcp|udp) \S+->`)
	noFallback = regexp.MustCompile(`no DNS fallback (candidates remain|options) for "[^"]*"`)
)

// normalize rewrites a text of tailscale's on one line. It removes the local port, so
// that one fault always has the same text. It also replaces the mention of fallback
// servers, which disableDNSFallback disables.
func normalize(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	text = localPort.ReplaceAllString(text, "$1 $2 ")
	return noFallback.ReplaceAllString(text, "the system's DNS has no address for it")
}

const unreachablePrefix = "the control server can't be reached: "

// unreachable returns the warning for an unreachable control server.
func unreachable(cause string) string {
	return unreachablePrefix + cause + ": until it can, peers and rights stay as they were"
}

// networkFaults maps error texts to classes. Tailscale passes on the text without the
// error. One outage causes several texts of a class in turn: a request on an open
// connection is reset, one on a new connection is refused.
var networkFaults = []struct {
	pattern *regexp.Regexp
	class   string
}{
	// First, since these texts quote the fault of the connection to the DNS server.
	{regexp.MustCompile(`\blookup \S+|no such host|DNS has no address`), "its name can't be resolved"},
	{regexp.MustCompile(`connection (refused|reset|aborted|was forcibly closed)|broken pipe|\bEOF\b|use of closed network connection|(client|http2:.*) connection (lost|force closed)|server closed idle connection`), "connection refused or reset"},
	{regexp.MustCompile(`network is (unreachable|down)`), "no network"},
	{regexp.MustCompile(`i/o timeout|timed out|no answer within|context (deadline exceeded|canceled)|handshake timeout|no route to host|host is (unreachable|down)`), "no answer"},
}

// networkFault returns the class of a network fault; "" for any other text.
func networkFault(text string) string {
	for _, fault := range networkFaults {
		if fault.pattern.MatchString(text) {
			return fault.class
		}
	}
	return ""
}

// lastLoginError precedes the cause in "You are logged out. The last login error was: ".
const lastLoginError = "last login error was: "

// warningsOf returns the warnings that concern the operator, sorted.
func warningsOf(state *health.State) []string {
	warnings := []string{}
	for code, w := range state.Warnings {
		text := w.Text
		switch code {
		case tsconst.HealthWarnableTLSCertPending: // a certificate is being requested, which is normal
			continue
		case tsconst.HealthWarnableWarmingUp: // normal for every node
			continue
		case tsconst.HealthWarnableNotInMapPoll: // watchControl reports it minutes earlier
			continue
		case tsconst.HealthWarnableLoginState:
			if _, cause, ok := strings.Cut(text, lastLoginError); ok {
				text = "the control server has not accepted the node: " + cause
				if class := networkFault(normalize(cause)); class != "" {
					text = unreachable(class)
				}
			}
		case tsconst.HealthWarnableDERPTimedOut, tsconst.HealthWarnableMapResponseTimeout:
			text = w.Title // the text contains a duration, so it would change each time
		}
		warnings = append(warnings, normalize(text))
	}
	slices.Sort(warnings)
	return warnings
}
