package node

import (
	"context"
	"net/netip"
	"slices"

	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
)

// A Service of the tailnet has addresses that several nodes share: the control
// server leads each client to one of those that advertise it.
//
// tsnet's ListenService is of no use here: it has the connections dialled again
// to a listener on localhost, to which every process of the machine could speak.
// But netstack takes a Service's connection wherever the serve configuration has
// its port, and hands it on, addresses and all, as it does one to the node itself
// where that names nothing to do with it. So an empty handler is all there is of a
// serve configuration, and the connection comes to dispatch like any other.

// HostService has connections to a Service's addresses, "svc:name", go to the
// listener on ":port" of the node, which must be up. Clients are led here once the
// Service is advertised as well. A node hosts one Service.
func (n *Node) HostService(ctx context.Context, name string, port uint16) error {
	service := tailcfg.ServiceName(name)
	if err := service.Validate(); err != nil {
		return errf(KindOther, "service %q: %v", name, err)
	}
	lc, err := n.client()
	if err != nil {
		return err
	}
	config := &ipn.ServeConfig{Services: map[tailcfg.ServiceName]*ipn.ServiceConfig{
		service: {TCP: map[uint16]*ipn.TCPPortHandler{port: {}}},
	}}
	if err := lc.SetServeConfig(ctx, config); err != nil {
		return errf(KindOther, "service %q: %v", name, err)
	}
	n.hosted.Store(&hosted{service, port})
	return nil
}

// hostNothing forgets which Service an earlier run hosted, as the state folder
// keeps it.
func (n *Node) hostNothing(ctx context.Context) error {
	lc, err := n.client()
	if err != nil {
		return err
	}
	if err := lc.SetServeConfig(ctx, new(ipn.ServeConfig)); err != nil {
		return errf(KindOther, "what the node hosted before can't be forgotten: %v", err)
	}
	return nil
}

// hosted is the Service that the node hosts, and the port.
type hosted struct {
	name tailcfg.ServiceName
	port uint16
}

// Advertise tells the tailnet whether clients of the Service may be led here.
// Connections that come nevertheless are accepted as before. No node advertises
// anything when it starts.
func (n *Node) Advertise(ctx context.Context, on bool) error {
	service := n.hosted.Load()
	if service == nil {
		return errf(KindOther, "no Service is hosted: there is nothing to advertise")
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
		return errf(KindOther, "service %q: %v", service.name, err)
	}
	return nil
}

// takes reports whether a connection to an address that is not the node's own is
// one to the hosted Service. Netstack lets no other through: which addresses are
// the Service's it has from the control server.
func (n *Node) takes(dst netip.AddrPort) bool {
	service := n.hosted.Load()
	return service != nil && service.port == dst.Port()
}

// addressesOfService returns the addresses of the hosted Service; none before the
// tailnet has approved the node as a host.
func (n *Node) addressesOfService(caps tailcfg.NodeCapMap) (out []netip.Addr) {
	service := n.hosted.Load()
	if service == nil {
		return nil
	}
	mappings, err := tailcfg.UnmarshalNodeCapJSON[tailcfg.ServiceIPMappings](caps, tailcfg.NodeAttrServiceHost)
	if err != nil {
		n.logf("the addresses of Services can't be read: %v", err)
	}
	for _, m := range mappings {
		if ips, ok := m[service.name]; ok { // a later one replaces an earlier one
			out = slices.Clone(ips)
		}
	}
	return out
}
