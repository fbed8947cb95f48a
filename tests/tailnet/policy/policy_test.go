package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"tailscale.com/tailcfg"
	"tailscale.com/types/logger"
	"tailscale.com/wgengine/filter"
)

// names are the definitions that the policies of these tests share.
const names = `
	"groups": {"group:dev": ["anna@example.com", "ben@example.com"]},
	"hosts": {"printer": "100.64.0.77", "lab": "100.64.7.0/24"},
	"tagOwners": {"tag:server": ["group:dev"], "tag:client": ["tag:server"], "tag:ci": []},`

func with(t *testing.T, rules string) *Policy {
	t.Helper()
	p, err := Parse([]byte("{"+names+rules+"}"), "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func device(id int, owner string) Node {
	n := Node{ID: fmt.Sprint(id), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{100, 64, byte(id >> 8), byte(id)})}}
	if strings.HasPrefix(owner, "tag:") {
		n.Tags = strings.Split(owner, ",")
	} else {
		n.User = owner
	}
	return n
}

// reach asks the packet filter that dst would be sent.
func reach(t *testing.T, p *Policy, src, dst Node, port uint16) bool {
	t.Helper()
	ok, err := admits(p.Compile(dst, []Node{src, dst}), src.Addresses[0], dst.Addresses[0], port, 6)
	if err != nil {
		t.Fatal(err)
	}
	if ok && !(p.Sees(src, dst) && p.Sees(dst, src)) {
		t.Errorf("%v reaches %v without seeing it", src, dst)
	}
	return ok
}

func TestRulesDetermineReach(t *testing.T) {
	anna, anna2, ben, ada, carl := device(1, "anna@example.com"), device(2, "anna@example.com"),
		device(3, "ben@example.com"), device(4, "ada@example.com"), device(5, "carl@other.test")
	server, client, both := device(6, "tag:server"), device(7, "tag:client"), device(8, "tag:server,tag:client")
	service := Node{ID: "svc:llm", Service: "svc:llm", Addresses: []netip.Addr{netip.MustParseAddr("100.127.0.9")}}
	outside := Node{ID: "outside", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	chromeOS := Node{ID: "chromeos", Addresses: []netip.Addr{netip.MustParseAddr("100.115.92.7")}}
	printer, lab := device(77, "carl@other.test"), device(7<<8+9, "tag:ci")

	for _, c := range []struct {
		src, dst string
		yes, no  [][2]Node
	}{
		{`"*"`, `"*"`, [][2]Node{{anna, server}, {server, carl}}, nil},
		{`"tag:client"`, `"tag:server"`, [][2]Node{{client, server}, {both, server}, {client, both}}, [][2]Node{{server, client}, {anna, server}, {client, anna}}},
		{`"group:dev"`, `"tag:server"`, [][2]Node{{anna, server}, {ben, server}}, [][2]Node{{carl, server}, {client, server}}},
		{`"anna@example.com"`, `"ben@example.com"`, [][2]Node{{anna, ben}}, [][2]Node{{ben, anna}, {anna, ada}}},
		{`"user:*@example.com"`, `"tag:server"`, [][2]Node{{ada, server}}, [][2]Node{{carl, server}, {client, server}}},
		{`"autogroup:member"`, `"autogroup:tagged"`, [][2]Node{{carl, lab}, {anna, both}}, [][2]Node{{client, server}, {anna, ben}}},
		{`"autogroup:admin"`, `"*"`, [][2]Node{{ada, server}}, [][2]Node{{anna, server}}},
		{`"autogroup:member"`, `"autogroup:self"`, [][2]Node{{anna, anna2}}, [][2]Node{{anna, ben}, {client, both}}},
		{`"*"`, `"tag:server"`, [][2]Node{{client, server}}, [][2]Node{{outside, server}, {chromeOS, server}}},
		{`"*"`, `"*"`, [][2]Node{{client, outside}}, [][2]Node{{outside, client}}},
		{`"Anna@Example.com"`, `"tag:server"`, [][2]Node{{anna, server}}, [][2]Node{{ben, server}}},
		{`"user:*@EXAMPLE.com"`, `"tag:server"`, [][2]Node{{ada, server}}, [][2]Node{{carl, server}}},
		{`"tag:client"`, `"svc:llm"`, [][2]Node{{client, service}}, [][2]Node{{anna, service}, {client, server}}},
		{`"*"`, `"*"`, [][2]Node{{anna, service}}, nil},
		{`"tag:client"`, `"tag:server"`, nil, [][2]Node{{client, service}}},
		{`"*"`, `"printer"`, [][2]Node{{client, printer}}, [][2]Node{{client, server}, {printer, client}}},
		{`"lab"`, `"tag:server"`, [][2]Node{{lab, server}}, [][2]Node{{client, server}}},
		{`"100.64.0.7"`, `"100.64.0.0/24"`, [][2]Node{{client, server}}, [][2]Node{{server, client}, {client, lab}}},
		{`"100.64.0.1-100.64.0.3"`, `"tag:server"`, [][2]Node{{anna, server}, {ben, server}}, [][2]Node{{ada, server}}},
	} {
		grant := with(t, fmt.Sprintf(`"grants": [{"src": [%s], "dst": [%s], "ip": ["tcp:443"]}]`, c.src, c.dst))
		acl := with(t, fmt.Sprintf(`"acls": [{"action": "accept", "src": [%s], "dst": [%s], "proto": "tcp"}]`, c.src, strings.TrimSuffix(c.dst, `"`)+`:443"`))
		for kind, p := range map[string]*Policy{"grant": grant, "acl": acl} {
			for _, pair := range c.yes {
				if !reach(t, p, pair[0], pair[1], 443) {
					t.Errorf("%s %s to %s: %v does not reach %v", kind, c.src, c.dst, pair[0], pair[1])
				}
				if reach(t, p, pair[0], pair[1], 442) {
					t.Errorf("%s %s to %s: %v reaches another port of %v", kind, c.src, c.dst, pair[0], pair[1])
				}
			}
			for _, pair := range c.no {
				if reach(t, p, pair[0], pair[1], 443) {
					t.Errorf("%s %s to %s: %v reaches %v", kind, c.src, c.dst, pair[0], pair[1])
				}
			}
		}
	}
}

func TestCapabilitiesHaveTheirValues(t *testing.T) {
	p := with(t, `"grants": [
		{"src": ["tag:client"], "dst": ["tag:server"], "app": {"example.com/cap/x": [{"models": ["a"]}]}},
		{"src": ["100.64.0.7"], "dst": ["*"], "app": {"example.com/cap/x": [{"models": ["b"]}]}}]`)
	client, server := device(7, "tag:client"), device(6, "tag:server")
	if reach(t, p, client, server, 443) || !p.Sees(server, client) {
		t.Error("an app grant shows the nodes to each other and opens no port")
	}
	matches, err := filter.MatchesFromFilterRules(p.Compile(server, []Node{client, server}))
	if err != nil {
		t.Fatal(err)
	}
	f := filter.New(matches, nil, nil, nil, nil, logger.Discard)
	got := f.CapsWithValues(client.Addresses[0], server.Addresses[0])["example.com/cap/x"]
	if fmt.Sprint(got) != fmt.Sprint([]tailcfg.RawMessage{`{"models": ["a"]}`, `{"models": ["b"]}`}) {
		t.Errorf("%q", got)
	}
	if len(f.CapsWithValues(server.Addresses[0], client.Addresses[0])) != 0 {
		t.Error("the grant holds in the other direction")
	}
}

func TestOwnersMayTag(t *testing.T) {
	p := with(t, `"grants": []`)
	for user, want := range map[string]bool{"anna@example.com": true, "carl@other.test": false, "ada@example.com": true} {
		if p.MayTag(user, "tag:server") != want {
			t.Errorf("%s: %v", user, !want)
		}
	}
	if p.MayTag("anna@example.com", "tag:ci") || p.MayTag("ada@example.com", "tag:unknown") {
		t.Error("a tag without owners, or without definition, was given")
	}
}
