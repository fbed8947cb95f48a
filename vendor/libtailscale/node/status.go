package node

import (
	"context"
	"net/netip"
	"strings"

	"tailscale.com/tailcfg"
)

// Status is the state of a node that is up.
type Status struct {
	DNSName          string       `json:"dns_name"` // MagicDNS name without the final dot; empty without MagicDNS
	Addresses        []netip.Addr `json:"addresses"`
	User             string       `json:"user,omitempty"` // login name of the owner; empty with tags
	Tags             []string     `json:"tags,omitempty"`
	Stored           bool         `json:"stored,omitempty"`            // the node was in the state folder already
	ServiceAddresses []netip.Addr `json:"service_addresses,omitempty"` // of the hosted Service; none until the host is approved
	CertDomains      []string     `json:"cert_domains,omitempty"`      // names for which the node can get certificates
	MagicDNS         bool         `json:"magic_dns,omitempty"`         // node names resolve in the tailnet

	mustLog bool // the tailnet requires log upload
}

// status asks the backend for the current status.
func (n *Node) status(ctx context.Context) (*Status, error) {
	lc, err := n.client()
	if err != nil {
		return nil, err
	}
	st, err := lc.StatusWithoutPeers(ctx)
	if err != nil {
		return nil, err
	}
	status := &Status{Addresses: st.TailscaleIPs, Stored: n.stored.Load(), CertDomains: st.CertDomains}
	status.MagicDNS = st.CurrentTailnet != nil && st.CurrentTailnet.MagicDNSEnabled
	if st.Self != nil {
		status.DNSName = strings.TrimSuffix(st.Self.DNSName, ".")
		if st.Self.Tags != nil && st.Self.Tags.Len() > 0 {
			status.Tags = st.Self.Tags.AsSlice()
		} else {
			status.User = st.User[st.Self.UserID].LoginName
		}
		status.ServiceAddresses = n.serviceAddresses(st.Self.CapMap)
		status.mustLog = st.Self.HasCap(tailcfg.CapabilityDataPlaneAuditLogs)
	}
	return status, nil
}
