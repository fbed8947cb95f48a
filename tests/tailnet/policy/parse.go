package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
	"tailscale.com/net/tsaddr"
	"tailscale.com/tailcfg"
)

// document is the policy file as written. It includes the sections without effect in this
// tailnet, so that a misspelt section is an error.
type document struct {
	Groups    map[string][]string `json:"groups"`
	Hosts     map[string]string   `json:"hosts"`
	TagOwners map[string][]string `json:"tagOwners"`
	Grants    *[]json.RawMessage  `json:"grants"`
	ACLs      *[]json.RawMessage  `json:"acls"`
	Tests     []json.RawMessage   `json:"tests"`

	AutoApprovers autoApprovers `json:"autoApprovers"`

	NodeAttrs           json.RawMessage `json:"nodeAttrs"`
	SSH                 json.RawMessage `json:"ssh"`
	SSHTests            json.RawMessage `json:"sshTests"`
	Postures            json.RawMessage `json:"postures"`
	DefaultSrcPosture   json.RawMessage `json:"defaultSrcPosture"`
	IPSets              json.RawMessage `json:"ipsets"`
	DERPMap             json.RawMessage `json:"derpMap"`
	DisableIPv4         json.RawMessage `json:"disableIPv4"`
	RandomizeClientPort json.RawMessage `json:"randomizeClientPort"`
	OneCGNATRoute       json.RawMessage `json:"OneCGNATRoute"`
}

// autoApprovers contains the section that has an effect here.
type autoApprovers struct {
	Services map[string][]string `json:"services"`
	Routes   json.RawMessage     `json:"routes"`
	ExitNode json.RawMessage     `json:"exitNode"`
}

type grant struct {
	Src        []string                                        `json:"src"`
	Dst        []string                                        `json:"dst"`
	IP         []string                                        `json:"ip"`
	App        map[tailcfg.PeerCapability][]tailcfg.RawMessage `json:"app"`
	SrcPosture []string                                        `json:"srcPosture"`
	Via        []string                                        `json:"via"`
}

type acl struct {
	Action     string   `json:"action"`
	Src        []string `json:"src"`
	Dst        []string `json:"dst"`
	Proto      string   `json:"proto"`
	SrcPosture []string `json:"srcPosture"`
}

// Parse parses a policy file (HuJSON) and runs its tests. The file does not contain roles:
// admins are the login names of the tailnet's admins.
func Parse(text []byte, admins ...string) (*Policy, error) {
	standard, err := hujson.Standardize(text)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	var d document
	if err := strict(standard, &d); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	p := &Policy{admins: admins}
	if err := errors.Join(p.define(d), p.readRules(d), p.readTests(d)); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if err := p.runTests(); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return p, nil
}

func (p *Policy) readRules(d document) error {
	if d.Grants == nil && d.ACLs == nil {
		return errors.New(`neither grants nor acls: Tailscale would allow everything; write "grants": [] to allow nothing`)
	}
	return errors.Join(
		each("grants", deref(d.Grants), p.addGrant),
		each("acls", deref(d.ACLs), p.addACL))
}

func (p *Policy) addGrant(g grant) error {
	switch {
	case len(g.IP) == 0 && len(g.App) == 0:
		return errors.New("neither ip nor app: the grant would grant nothing")
	case slices.Contains(g.Dst, "autogroup:internet") && len(g.App) > 0:
		return errors.New("app can't be granted for autogroup:internet")
	case len(g.SrcPosture) > 0 || len(g.Via) > 0:
		return errors.New("srcPosture and via are not supported here: without them the grant would admit more than in a real tailnet")
	}
	r := rule{app: g.App}
	for name := range g.App {
		if err := checkCapability(string(name)); err != nil {
			return fmt.Errorf("app: %w", err)
		}
	}
	var err error
	if r.src, err = p.sources(g.Src); err != nil {
		return err
	}
	if r.dst, err = p.destinations(g.Dst, r.src); err != nil {
		return err
	}
	for _, text := range g.IP {
		t, err := parseTraffic(text)
		if err != nil {
			return fmt.Errorf("ip: %w", err)
		}
		r.ip = append(r.ip, t)
	}
	p.rules = append(p.rules, r)
	return nil
}

func (p *Policy) addACL(a acl) error {
	switch {
	case a.Action != "accept":
		return fmt.Errorf("action is %q: only \"accept\" exists", a.Action)
	case len(a.SrcPosture) > 0:
		return errors.New("srcPosture is not supported here: without it the rule would admit more than in a real tailnet")
	}
	src, err := p.sources(a.Src)
	if err != nil {
		return err
	}
	// Next to autogroup:self, "*" means all users. Tailscale accepts that only in acls.
	users := slices.DeleteFunc(slices.Clone(src), func(s selector) bool { return s.text == "*" })
	proto, err := parseProtocol(a.Proto)
	if err != nil {
		return fmt.Errorf("proto: %w", err)
	}
	for _, text := range a.Dst {
		host, ports, err := parseTarget(text)
		if err != nil {
			return fmt.Errorf("dst: %w", err)
		}
		dst, err := p.destinations([]string{host}, users)
		if err != nil {
			return err
		}
		r := rule{src: src, dst: dst}
		for _, ports := range ports {
			t, err := newTraffic(proto, ports)
			if err != nil {
				return fmt.Errorf("dst: %q: %w", text, err)
			}
			r.ip = append(r.ip, t)
		}
		p.rules = append(p.rules, r)
	}
	return nil
}

// sources resolves the entries of src.
func (p *Policy) sources(texts []string) ([]selector, error) {
	for _, text := range texts {
		if text == "autogroup:self" || text == "autogroup:internet" {
			return nil, fmt.Errorf("src: %q can't be a source", text)
		}
	}
	return p.selectors("src", texts)
}

// destinations resolves the entries of dst for these sources.
func (p *Policy) destinations(texts []string, src []selector) ([]selector, error) {
	dst, err := p.selectors("dst", texts)
	if err != nil {
		return nil, err
	}
	for i, s := range dst {
		everything := s.within.IsValid() && (s.within.Prefixes()[0] == tsaddr.AllIPv4() || s.within.Prefixes()[0] == tsaddr.AllIPv6())
		switch {
		case s.text == "autogroup:danger-all" || everything:
			return nil, fmt.Errorf("dst: %q can't be a destination", s.text)
		case s.text == "*":
			dst[i] = anyDestination
		case s.text == "autogroup:self":
			if i := slices.IndexFunc(src, func(s selector) bool { return !s.users }); i >= 0 {
				return nil, fmt.Errorf("dst: autogroup:self can only be used with users, groups, or supported autogroups, not with %q", src[i].text)
			}
		}
	}
	return dst, nil
}

// tailscales are Tailscale's own capabilities that a policy file may grant.
var tailscales = []string{"drive", "golink", "kubernetes", "relay", "secrets", "tailsql", "tsidp", "webui"}

var capabilityName = regexp.MustCompile(`^([a-z0-9-]+(?:\.[a-z0-9-]+)+)/(.+)$`)

func checkCapability(name string) error {
	parts := capabilityName.FindStringSubmatch(strings.ToLower(name))
	if parts == nil {
		return fmt.Errorf("%q is no capability name: want domain/name, such as example.com/cap/x", name)
	}
	own, _ := strings.CutPrefix(name, "tailscale.com/cap/")
	if strings.HasSuffix("."+parts[1], ".tailscale.com") && !slices.Contains(tailscales, own) {
		return fmt.Errorf("%q must not be in the tailscale.com domain", name)
	}
	return nil
}

func (p *Policy) selectors(field string, texts []string) (out []selector, err error) {
	for _, text := range texts {
		s, err := p.selector(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// each decodes every entry of a section. An error names the entry.
func each[T any](section string, entries []json.RawMessage, add func(T) error) error {
	for i, raw := range entries {
		var entry T
		err := strict(raw, &entry)
		if err == nil {
			err = add(entry)
		}
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", section, i, err)
		}
	}
	return nil
}

// strict decodes JSON and rejects unknown keys.
func strict(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func deref[T any](list *[]T) []T {
	if list == nil {
		return nil
	}
	return *list
}

// sorted returns the keys in order, so that errors have a stable order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
