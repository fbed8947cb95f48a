package policy

import (
	"strings"
	"testing"
)

func TestInvalidPolicyIsRejected(t *testing.T) {
	for rules, reason := range map[string]string{
		`"grants": [}`:    "hujson:",
		`"grantz": []`:    `unknown field "grantz"`,
		`"tests": []`:     "neither grants nor acls",
		`"groups": ["x"]`: "cannot unmarshal",
		`"grants": [{"src": ["*"], "dest": ["*"], "ip": ["*"]}]`:                                                        `grants[0]: unknown field "dest"`,
		`"grants": [{"src": ["*"], "dst": ["*"]}]`:                                                                      "grants[0]: neither ip nor app",
		`"grants": [{"src": ["tag:sever"], "dst": ["*"], "ip": ["*"]}]`:                                                 `grants[0]: src: "tag:sever" is not defined in tagOwners`,
		`"grants": [{"src": ["*"], "dst": ["group:ops"], "ip": ["*"]}]`:                                                 `dst: "group:ops" is not defined in groups`,
		`"grants": [{"src": ["autogroup:membr"], "dst": ["*"], "ip": ["*"]}]`:                                           `"autogroup:membr" is no known autogroup`,
		`"grants": [{"src": ["prnter"], "dst": ["*"], "ip": ["*"]}]`:                                                    `"prnter" is no user, group`,
		`"grants": [{"src": ["*"], "dst": ["*"], "ip": ["tpc:1"]}]`:                                                     `ip: "tpc:1": proto name "tpc" not known`,
		`"grants": [{"src": ["*"], "dst": ["*"], "ip": ["70000"]}]`:                                                     `port range "70000": invalid first integer`,
		`"grants": [{"src": ["*"], "dst": ["*"], "ip": ["9-1"]}]`:                                                       `port range "9-1"`,
		`"grants": [{"src": ["*"], "dst": ["*"], "app": {"x": [{}]}}]`:                                                  `"x" is no capability name`,
		`"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"], "srcPosture": ["posture:p"]}]`:                            "not supported here",
		`"acls": [{"action": "drop", "src": ["*"], "dst": ["*:*"]}]`:                                                    `acls[0]: action is "drop"`,
		`"acls": [{"action": "accept", "src": ["*"], "dst": ["tag:server"]}]`:                                           `"tag:server": port range "server"`,
		`"acls": [{"action": "accept", "src": ["*"], "dst": ["printer"]}]`:                                              `"printer" lacks the ports`,
		`"grants": [], "tests": [{"src": "tag:client"}]`:                                                                "tests[0]: neither accept nor deny",
		`"grants": [], "tests": [{"src": "tag:client", "accept": ["tag:server:1"]}]`:                                    "tests[0]: tag:client does not reach tag:server:1",
		`"grants": [], "tests": [{"src": "*", "deny": ["tag:server:1"]}]`:                                               `src: "*" is no user`,
		`"acls": [], "tests": [{"src": "tag:ci", "deny": ["tag:server:1-2"]}]`:                                          "a test names one port",
		`"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}], "tests": [{"src": "tag:ci", "deny": ["tag:server:1"]}]`: "tag:ci reaches tag:server:1",
	} {
		_, err := Parse([]byte("{" + names + rules + "}"))
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s:\n\tgot  %v\n\twant %s", rules, err, reason)
		}
	}
}

func TestPolicyThatTailscaleRejectsIsRejected(t *testing.T) {
	const ip = `, "ip": ["*"]}]`
	deny := func(src, proto, dst string) string {
		return `"grants": [], "tests": [{"src": "` + src + `", "proto": "` + proto + `", "deny": ["` + dst + `"]}]`
	}
	for rules, reason := range map[string]string{
		`"grants": [{"src": ["autogroup:self"], "dst": ["*"]` + ip:                                  "can't be a source",
		`"grants": [{"src": ["autogroup:internet"], "dst": ["*"]` + ip:                              "can't be a source",
		`"grants": [{"src": ["*"], "dst": ["autogroup:self"]` + ip:                                  `not with "*"`,
		`"grants": [{"src": ["anna@example.com", "lab"], "dst": ["autogroup:self"]` + ip:            `not with "lab"`,
		`"acls": [{"action": "accept", "src": ["*", "tag:ci"], "dst": ["autogroup:self:*"]}]`:       `not with "tag:ci"`,
		`"grants": [{"src": ["*"], "dst": ["autogroup:danger-all"]` + ip:                            "can't be a destination",
		`"grants": [{"src": ["*"], "dst": ["0.0.0.0/0"]` + ip:                                       "can't be a destination",
		`"acls": [{"action": "accept", "src": ["*"], "dst": ["::/0:443"]}]`:                         "can't be a destination",
		`"grants": [{"src": ["*"], "dst": ["*"], "app": {"https://example.com/cap/x": [{}]}}]`:      "is no capability name",
		`"grants": [{"src": ["*"], "dst": ["*"], "app": {"cap/x": [{}]}}]`:                          "is no capability name",
		`"grants": [{"src": ["*"], "dst": ["*"], "app": {"tailscale.com/cap/funnel": [{}]}}]`:       "must not be in the tailscale.com domain",
		`"grants": [{"src": ["*"], "dst": ["autogroup:internet"], "app": {"example.com/x": [{}]}}]`: "autogroup:internet",
		`"grants": [{"src": ["*"], "dst": ["*"], "ip": ["tcp:0"]}]`:                                 "first port must be >0",
		`"grants": [{"src": ["*"], "dst": ["*"], "ip": [":443"]}]`:                                  "empty protocol",
		`"grants": [{"src": ["*"], "dst": ["*"], "ip": ["icmp:8"]}]`:                                "has no ports",
		`"acls": [{"action": "accept", "src": ["*"], "dst": ["lab:0"]}]`:                            "first port must be >0",
		`"acls": [{"action": "accept", "proto": "gre", "src": ["*"], "dst": ["lab:8"]}]`:            "has no ports",
		deny("tag:ci", "icmp", "tag:server:1"):                                                      "test protocol must be tcp, udp, sctp, or empty",
		deny("tag:ci", "tcp", "tag:server:0"):                                                       "first port must be >0",
		deny("tag:ci", "tcp", "lab:443"):                                                            "several addresses",
		deny("lab", "tcp", "tag:server:443"):                                                        "several addresses",
		deny("svc:llm", "tcp", "tag:server:443"):                                                    "opens no connections",
	} {
		_, err := Parse([]byte("{" + names + rules + "}"))
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s:\n\tgot  %v\n\twant %s", rules, err, reason)
		}
	}
}

func TestInvalidDefinitionIsRejected(t *testing.T) {
	for text, reason := range map[string]string{
		`"groups": {"dev": []}`:                  `"dev" must begin with group:`,
		`"groups": {"group:dev": ["group:ops"]}`: `member "group:ops" is no login name`,
		`"hosts": {"h": "100.64.0"}`:             `h: "100.64.0" is no address`,
		`"hosts": {"tag:h": "100.64.0.1"}`:       `"tag:h" is no name for a host`,
		`"tagOwners": {"server": []}`:            `"server" must begin with tag:`,
		`"tagOwners": {"tag:x": ["group:ops"]}`:  `tag:x: "group:ops" is not defined`,
		`"tagOwners": {"tag:x": ["100.64.0.1"]}`: `"100.64.0.1" is no user, group`,
	} {
		_, err := Parse([]byte("{" + text + `, "grants": []}`))
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s:\n\tgot  %v\n\twant %s", text, err, reason)
		}
	}
}

func TestValidPolicyIsAccepted(t *testing.T) {
	for _, rules := range []string{
		`"grants": [], /* closed */`,
		`"acls": [], "ssh": [{}], "nodeAttrs": [], "autoApprovers": {}, "postures": {}, "sshTests": []`,
		`"grants": [{"src": ["*"], "dst": ["*"], "ip": ["icmp:*", "17:53", "80-90", "*:*", "*:443", "TCP:1", "ipv6-icmp:*", "icmpv4:*", "ICMPv6:*", "dccp:*", "tsmp:*", "0:9"]}]`,
		`"grants": [{"src": [], "dst": ["*"], "ip": ["*"]}, {"src": ["*"], "dst": [], "ip": ["*"]}]`,
		`"acls": [{"action": "accept", "src": [], "dst": ["*:*"]}, {"action": "accept", "src": ["*"], "dst": ["autogroup:self:*"]}]`,
		`"grants": [{"src": ["autogroup:danger-all"], "dst": ["*"], "app": {"tailscale.com/cap/drive": [{}]}}]`,
		`"grants": [{"src": ["tag:client"], "dst": ["svc:llm"], "ip": ["tcp:443"]}],
		 "tests": [{"src": "tag:client", "accept": ["svc:llm:443"], "deny": ["svc:llm:80", "svc:other:443", "tag:server:443"]}]`,
		`"grants": [{"src": ["Anna@Example.com"], "dst": ["tag:server"], "ip": ["tcp:443"]}],
		 "tests": [{"src": "anna@example.com", "accept": ["tag:server:443"]}, {"src": "ANNA@example.com", "accept": ["tag:server:443"]}]`,
		`"acls": [{"action": "accept", "src": ["*"], "dst": ["[fd7a:115c:a1e0::1]:22", "fd7a:115c:a1e0::2:22", "lab:1,3-5"]}]`,
		// What holds for a group must hold for each member; a host is its address.
		`"grants": [{"src": ["anna@example.com", "lab"], "dst": ["tag:server"], "ip": ["udp:53"]}],
		 "tests": [{"src": "anna@example.com", "proto": "udp", "accept": ["tag:server:53"], "deny": ["tag:server:54", "tag:ci:53"]},
		           {"src": "anna@example.com", "accept": ["tag:server:53"]},
		           {"src": "anna@example.com", "proto": "tcp", "deny": ["tag:server:53"]},
		           {"src": "ben@example.com", "proto": "udp", "deny": ["tag:server:53"]},
		           {"src": "100.64.7.9", "proto": "udp", "accept": ["tag:server:53"]},
		           {"src": "100.64.7.12", "proto": "udp", "accept": ["tag:server:53"], "deny": ["printer:53"]}]`,
		`"grants": [{"src": ["group:dev"], "dst": ["printer"], "ip": ["tcp:9100"]}],
		 "tests": [{"src": "group:dev", "accept": ["printer:9100", "100.64.0.77:9100"]}]`,
	} {
		if _, err := Parse([]byte("{" + names + rules + "}")); err != nil {
			t.Errorf("%s: %v", rules, err)
		}
	}
}

func TestTestWithoutProtocolCoversTCPAndUDP(t *testing.T) {
	for _, ip := range []string{"tcp:53", "udp:53"} {
		_, err := Parse([]byte("{" + names + `
			"grants": [{"src": ["anna@example.com"], "dst": ["tag:server"], "ip": ["` + ip + `"]}],
			"tests": [{"src": "anna@example.com", "deny": ["tag:server:53"]}]}`))
		if err == nil {
			t.Errorf("%s is granted, and the test that denies the port passed", ip)
		}
	}
}

func TestGroupAsDestinationCoversEachMember(t *testing.T) {
	_, err := Parse([]byte("{" + names + `
		"grants": [{"src": ["tag:server"], "dst": ["anna@example.com"], "ip": ["*"]}],
		"tests": [{"src": "tag:server", "deny": ["group:dev:1"]}]}`))
	if err == nil {
		t.Error("one member is reached, and the test that denies the group passed")
	}
}

func TestTestOfAGroupCoversEachMember(t *testing.T) {
	_, err := Parse([]byte("{" + names + `
		"grants": [{"src": ["anna@example.com"], "dst": ["tag:server"], "ip": ["*"]}],
		"tests": [{"src": "group:dev", "accept": ["tag:server:1"]}]}`))
	if err == nil {
		t.Error("one member does not reach the server, and the test passed")
	}
}
