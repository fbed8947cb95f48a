package node

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"tailscale.com/ipn/ipnlocal"
	"tailscale.com/types/netmap"
)

// A Certificate is a TLS certificate for a name of the node, with its private key.
type Certificate struct {
	Chain  string    `json:"chain"`  // PEM, the leaf first
	Key    string    `json:"key"`    // PEM
	Issued time.Time `json:"issued"` // start of validity
	Expiry time.Time `json:"expiry"` // end of validity
}

// Certificate returns the certificate for one of the names in Status.CertDomains: the
// stored one, or a new one from the ACME server. A stored certificate that is due for
// renewal is renewed in the background, for a later call. One that is valid for less
// than atLeast is renewed first.
func (n *Node) Certificate(ctx context.Context, name string, atLeast time.Duration) (*Certificate, error) {
	backend, err := n.backend()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()

	// The call may wait for a concurrent request for the same name, whatever happens
	// to ctx; so it runs in a goroutine.
	type result struct {
		pair *ipnlocal.TLSCertKeyPair
		err  error
	}
	done := make(chan result, 1)
	go func() {
		pair, err := backend.GetCertPEMWithValidity(ctx, name, atLeast)
		done <- result{pair, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, errf(KindOther, "%s", strings.Join(strings.Fields(r.err.Error()), " "))
		}
		return certificateOf(r.pair)
	case <-ctx.Done():
		if n.ctx.Err() != nil {
			return nil, ErrClosed
		}
		return nil, errf(KindOther, "get certificate for %s: the ACME server or the control server timed out", name)
	}
}

func certificateOf(pair *ipnlocal.TLSCertKeyPair) (*Certificate, error) {
	block, _ := pem.Decode(pair.CertPEM)
	if block == nil {
		return nil, errf(KindOther, "decode certificate: not PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errf(KindOther, "parse certificate: %v", err)
	}
	return &Certificate{
		Chain: string(pair.CertPEM), Key: string(pair.KeyPEM),
		Issued: leaf.NotBefore.UTC(), Expiry: leaf.NotAfter.UTC(),
	}, nil
}

// netmap returns the netmap without its peers; nil before the first.
func (n *Node) netmap() *netmap.NetworkMap {
	backend, err := n.backend()
	if err != nil {
		return nil
	}
	return backend.NetMapNoPeers()
}
