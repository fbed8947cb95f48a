package node

import (
	"context"
	"net/netip"
	"slices"

	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
)

// A Tailscale Service has addresses that several nodes share. The control server
// directs each client to one of the nodes that advertise it.
//
// tsnet's ListenService does not fit: it forwards the connections to a listener on
// localhost, which every process of the machine can connect to. But netstack accepts a
// Service's connection if the serve configuration has its port, and passes it on with
// its addresses if that port has no handler. So the serve configuration here is an
// empty handler, and dispatch gets the connection like any other.

// hostedService is the Service that the node hosts.
type hostedService struct {
	name tailcfg.ServiceName
	port uint16
}

// HostService delivers connections to port at the addresses of a Service, "svc:name",
// to the listener on that port. The node must be up. It hosts at most one Service.
// Clients arrive once the Service is advertised as well.
func (n *Node) HostService(ctx context.Context, name string, port uint16) error {
	service := tailcfg.ServiceName(name)
	if err := service.Validate(); err != nil {
		return errf(KindOther, "host service %q: %v", name, err)
	}
	lc, err := n.client()
	if err != nil {
		return err
	}
	config := &ipn.ServeConfig{Services: map[tailcfg.ServiceName]*ipn.ServiceConfig{
		service: {TCP: map[uint16]*ipn.TCPPortHandler{port: {}}},
	}}
	if err := lc.SetServeConfig(ctx, config); err != nil {
		return errf(KindOther, "host service %q: %v", name, err)
	}
	n.hosted.Store(&hostedService{service, port})
	return nil
}

// clearHosted removes the Service of an earlier run, which the state folder keeps.
func (n *Node) clearHosted(ctx context.Context) error {
	lc, err := n.client()
	if err != nil {
		return err
	}
	if err := lc.SetServeConfig(ctx, new(ipn.ServeConfig)); err != nil {
		return errf(KindOther, "clear the service of an earlier run: %v", err)
	}
	return nil
}

// AdvertiseService starts or stops advertising the hosted Service. It is off when the
// node starts. Connections that arrive while it is off are still accepted.
func (n *Node) AdvertiseService(ctx context.Context, on bool) error {
	service := n.hosted.Load()
	if service == nil {
		return errf(KindOther, "advertise service: the node hosts none")
	}
	lc, err := n.client()
	if err != nil {
		return err
	}
	change := &ipn.MaskedPrefs{AdvertiseServicesSet: true}
	if on {
		change.AdvertiseServices = []string{service.name.String()}
	}
	if _, err := lc.EditPrefs(ctx, change); err != nil {
		return errf(KindOther, "advertise service %q: %v", service.name, err)
	}
	return nil
}

// isHosted reports whether dst, which is not an address of the node, belongs to the
// hosted Service. Netstack passes on no other: the control server tells it the
// Service's addresses.
func (n *Node) isHosted(dst netip.AddrPort) bool {
	service := n.hosted.Load()
	return service != nil && service.port == dst.Port()
}

// serviceAddresses returns the addresses of the hosted Service; none until an admin or
// the policy has approved the node as a host.
func (n *Node) serviceAddresses(caps tailcfg.NodeCapMap) (out []netip.Addr) {
	service := n.hosted.Load()
	if service == nil {
		return nil
	}
	mappings, err := tailcfg.UnmarshalNodeCapJSON[tailcfg.ServiceIPMappings](caps, tailcfg.NodeAttrServiceHost)
	if err != nil {
		n.logf("parse the addresses of Services: %v", err)
	}
	for _, m := range mappings {
		if ips, ok := m[service.name]; ok { // a later mapping replaces an earlier one
			out = slices.Clone(ips)
		}
	}
	return out
}
