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

// A Certificate is what a node shows for a name of its own in HTTPS.
type Certificate struct {
	Chain  string    `json:"chain"`  // PEM, the certificate itself first
	Key    string    `json:"key"`    // PEM
	Issued time.Time `json:"issued"` // from when on it is valid
	Expiry time.Time `json:"expiry"` // until when
}

// Certificate returns the certificate for one of the names that Status has as
// CertDomains: the stored one, or else a new one, for which the ACME server is
// asked. A stored one that it is time to renew is renewed meanwhile, and
// returned by a later call; one that is valid for less than atLeast is renewed
// first.
func (n *Node) Certificate(ctx context.Context, name string, atLeast time.Duration) (*Certificate, error) {
	backend, err := n.backend()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()

	// It may wait, and not for ctx, for another that asks for the same name.
	type answer struct {
		pair *ipnlocal.TLSCertKeyPair
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		pair, err := backend.GetCertPEMWithValidity(ctx, name, atLeast)
		answered <- answer{pair, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return nil, errf(KindOther, "%s", strings.Join(strings.Fields(a.err.Error()), " "))
		}
		return certificateOf(a.pair)
	case <-ctx.Done():
		if n.ctx.Err() != nil {
			return nil, errClosed()
		}
		return nil, errf(KindOther, "the ACME server and the control server took too long")
	}
}

func certificateOf(pair *ipnlocal.TLSCertKeyPair) (*Certificate, error) {
	block, _ := pem.Decode(pair.CertPEM)
	if block == nil {
		return nil, errf(KindOther, "the certificate is no PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errf(KindOther, "the certificate can't be read: %v", err)
	}
	return &Certificate{
		Chain: string(pair.CertPEM), Key: string(pair.KeyPEM),
		Issued: leaf.NotBefore.UTC(), Expiry: leaf.NotAfter.UTC(),
	}, nil
}

// netmap returns what the control server has told of the tailnet, without the
// peers; nil before it has.
func (n *Node) netmap() *netmap.NetworkMap {
	backend, err := n.backend()
	if err != nil {
		return nil
	}
	return backend.NetMapNoPeers()
}
