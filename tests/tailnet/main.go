// Testtailnet runs a complete tailnet on loopback, without an account: control server,
// DERP relay, STUN, ACME server and client devices. Tests drive it over HTTP.
//
//	testtailnet -policy policy.hujson -until-stdin-closes
//
// It can also run a single client of another process's tailnet, so that the client does
// not take processor time from that process:
//
//	TS_AUTHKEY=... testtailnet -join http://127.0.0.1:44689 -to 100.64.0.1:11434
//
// The first line on standard output is a JSON object with all addresses. Logs go to
// standard error. README.md describes the interface.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"remote-ollama-proxy/tests/tailnet/acme"
	"remote-ollama-proxy/tests/tailnet/api"
	"remote-ollama-proxy/tests/tailnet/clients"
	"remote-ollama-proxy/tests/tailnet/control"
	"remote-ollama-proxy/tests/tailnet/loopback"
	"remote-ollama-proxy/tests/tailnet/relay"
	"tailscale.com/envknob"
	"tailscale.com/net/netns"
	"tailscale.com/types/logger"
)

func main() {
	var o options
	flag.StringVar(&o.policy, "policy", "", "policy `file` (HuJSON); the default allows everything")
	flag.StringVar(&o.dir, "dir", "", "`folder` for the clients' files; a temporary one if empty")
	flag.StringVar(&o.controlAddr, "control-addr", "127.0.0.1:0", "`address` of the control server")
	flag.StringVar(&o.apiAddr, "api-addr", "127.0.0.1:0", "`address` of the HTTP interface")
	flag.StringVar(&o.join, "join", "", "run one client of the tailnet of this control server's `URL`, with the key in TS_AUTHKEY")
	flag.StringVar(&o.to, "to", "", "with -join: forward to this `address` in the tailnet")
	flag.IntVar(&o.receiveBuffer, "receive-buffer", 0, "with -join: buffer at most this many unread `bytes`")
	flag.BoolVar(&o.untilStdinCloses, "until-stdin-closes", false, "end when standard input ends, as it does when the parent dies")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "testtailnet: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "testtailnet: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	policy, dir, controlAddr, apiAddr string
	join, to                          string
	receiveBuffer                     int
	untilStdinCloses                  bool
}

// addresses is the first line of output.
type addresses struct {
	Control string `json:"control"`
	API     string `json:"api"`
	ACME    string `json:"acme"`
	// Path of the ACME server's own certificate, for clients to trust.
	ACMECertificate string `json:"acme_certificate"`
	DERP            string `json:"derp"`
	STUN            string `json:"stun"`
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.untilStdinCloses {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	configureTailscale()
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "testtailnet-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	if o.join != "" {
		return joinRemote(ctx, o)
	}
	return serve(ctx, o)
}

// configureTailscale sets the process-wide switches of Tailscale's library.
func configureTailscale() {
	// netns would bind sockets to the interface of the default route, so that they could
	// not use loopback.
	netns.SetEnabled(false)
	envknob.SetNoLogsNoSupport()
	envknob.Setenv("TS_DISABLE_PORTMAPPER", "true")
}

// serve runs a tailnet with its relay, ACME server and HTTP interface until ctx is done.
func serve(ctx context.Context, o options) error {
	relay, err := relay.Listen(logger.Discard)
	if err != nil {
		return err
	}
	defer relay.Close()
	issuer, err := acme.Listen(log.Printf)
	if err != nil {
		return fmt.Errorf("ACME server: %w", err)
	}
	defer issuer.Close()
	control, err := control.Listen(o.controlAddr, relay.Map(), log.Printf)
	if err != nil {
		return fmt.Errorf("control server: %w", err)
	}
	defer control.Close()
	control.SetTXT = issuer.SetTXT
	if err := applyPolicy(control, o.policy); err != nil {
		return err
	}
	devices := clients.NewManager(control, o.dir, log.Printf)
	defer devices.Close()
	routes := &api.API{Control: control, Clients: devices, Relay: relay, ACME: issuer}
	front, err := loopback.Listen(o.apiAddr, routes.Handler(), nil, log.Printf)
	if err != nil {
		return fmt.Errorf("HTTP interface: %w", err)
	}
	defer front.Close()
	trust := filepath.Join(o.dir, "acme.pem")
	if err := os.WriteFile(trust, []byte(issuer.Certificate()), 0o600); err != nil {
		return err
	}
	err = json.NewEncoder(os.Stdout).Encode(addresses{
		Control: control.URL(), API: "http://" + front.Addr(), ACME: issuer.Directory(), ACMECertificate: trust, DERP: relay.Addr(), STUN: relay.STUNAddr(),
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// applyPolicy reads the policy file of the -policy option, if it is set.
func applyPolicy(server *control.Server, file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = server.SetPolicy(text)
	}
	if err != nil {
		return fmt.Errorf("-policy %s: %w", file, err)
	}
	return nil
}

// joinRemote runs a client of another process's tailnet.
func joinRemote(ctx context.Context, o options) error {
	devices := clients.NewManager(clients.RemoteControl{ServerURL: o.join, Key: os.Getenv("TS_AUTHKEY")}, o.dir, log.Printf)
	defer devices.Close()
	client, err := devices.Start(ctx, "remote", nil, "")
	if err != nil {
		return err
	}
	if o.receiveBuffer != 0 {
		if err := client.SetReceiveBuffer(o.receiveBuffer); err != nil {
			return err
		}
	}
	forward, err := client.Forward(o.to)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(forward); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
