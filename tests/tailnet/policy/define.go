package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"tailscale.com/tailcfg"
)

// define reads the sections that define names. It runs first, since rules refer to them.
func (p *Policy) define(d document) error {
	p.groups = map[string][]string{}
	for _, name := range sorted(d.Groups) {
		if !strings.HasPrefix(name, "group:") {
			return fmt.Errorf("groups: %q must begin with group:", name)
		}
		for _, member := range d.Groups[name] {
			if !strings.Contains(member, "@") {
				return fmt.Errorf("groups: %s: member %q is no login name (user@domain)", name, member)
			}
		}
		p.groups[name] = d.Groups[name]
	}
	p.hosts = map[string]netip.Prefix{}
	for _, name := range sorted(d.Hosts) {
		prefix, err := parsePrefix(d.Hosts[name])
		if err != nil {
			return fmt.Errorf("hosts: %s: %q is no address and no CIDR", name, d.Hosts[name])
		}
		if strings.ContainsAny(name, ":@*/") {
			return fmt.Errorf("hosts: %q is no name for a host: it has one of : @ * /", name)
		}
		p.hosts[name] = prefix
	}
	return errors.Join(p.defineTags(d), p.defineHosting(d))
}

// defineHosting reads who may host which Service. Tailscale also accepts tags of Services
// here.
func (p *Policy) defineHosting(d document) (err error) {
	p.hosting = map[string][]selector{}
	for _, name := range sorted(d.AutoApprovers.Services) {
		if err := tailcfg.ServiceName(name).Validate(); err != nil {
			return fmt.Errorf("autoApprovers: services: %w", err)
		}
		if p.hosting[name], err = p.selectors("autoApprovers: services: "+name, d.AutoApprovers.Services[name]); err != nil {
			return err
		}
		for _, host := range p.hosting[name] {
			if host.names == nil {
				return fmt.Errorf("autoApprovers: services: %s: %q is no tag, user, group or autogroup", name, host.text)
			}
		}
	}
	return nil
}

func (p *Policy) defineTags(d document) error {
	p.tagOwners = map[string][]selector{}
	for _, tag := range sorted(d.TagOwners) {
		name, ok := strings.CutPrefix(tag, "tag:")
		if !ok || name == "" {
			return fmt.Errorf("tagOwners: %q must begin with tag: and have a name", tag)
		}
		p.tagOwners[tag] = nil // known before owners are read: a tag may own a tag
	}
	for _, tag := range sorted(d.TagOwners) {
		owners, err := p.selectors("tagOwners: "+tag, d.TagOwners[tag])
		if err != nil {
			return err
		}
		for _, owner := range owners {
			if owner.names == nil {
				return fmt.Errorf("tagOwners: %s: %q is no user, group, autogroup or tag", tag, owner.text)
			}
		}
		p.tagOwners[tag] = owners
	}
	return nil
}
