package contestants

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// All returns the contestants, the reference points first.
func All() []Contestant {
	return []Contestant{
		{Name: "direct", About: "the stand-in itself on loopback, without a tailnet"},
		{Name: "raw", About: "TCP forward on tsnet, without HTTP", Program: "rawforward", commands: made("rawforward")},
		{Name: "ours", About: "remote-ollama-proxy", Program: "remote-ollama-proxy", commands: product("remote-ollama-proxy")},
		{Name: "before", About: "the build that `against=` names", Program: "before", commands: product("before")},
		{Name: "bare", About: "the node and hyper code of ours, without policy, grants and audit", Program: "bare", commands: made("bare")},
		{Name: "reverse", About: "Go: tsnet, httputil.ReverseProxy, WhoIs for each request", Program: "reverseproxy", commands: made("reverseproxy")},
		{Name: "libtailscale", About: "upstream's libtailscale under the code of bare; it can't identify peers", Program: "libtailscale", commands: made("libtailscale")},
		{Name: "caddy", About: "Caddy with caddy-tailscale, with the same allowlist and without identity checks", Program: "caddy", commands: caddy},
		{Name: "tsnsrv", About: "tsnsrv, with prefixes instead of an allowlist", Program: "tsnsrv", commands: tsnsrv},
		{Name: "haproxy", About: "HAProxy with the same allowlist, behind raw", Program: "haproxy", commands: haproxy("")},
		{Name: "haproxy-log", About: "the same, with a line of its log for each request; ours writes two", Program: "haproxy", commands: haproxy("log stderr format raw daemon\n\toption httplog")},
	}
}

// Profiled is the proxy with symbols.
func Profiled() Contestant {
	return Contestant{Name: "profiled", Program: "profiled", commands: product("profiled")}
}

// ready is what the bench's own contestants print once they listen.
const ready = "listening in the tailnet"

// made returns a contestant that is one of the bench's own programs.
func made(program string) func(Site) ([]command, error) {
	return func(s Site) ([]command, error) {
		return []command{{s.command(program), ready}}, nil
	}
}

// command returns a program with the environment of the site, without log upload and
// port mapping.
func (s Site) command(program string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.Bin, program), args...)
	c.Env = append(os.Environ(),
		"BENCH_NAME="+s.Name, "BENCH_CONTROL="+s.Control, "BENCH_UPSTREAM="+s.Upstream, "BENCH_DIR="+s.Dir,
		fmt.Sprintf("BENCH_PORT=%d", s.Port), "TS_AUTHKEY="+s.Key,
		"TS_NO_LOGS_NO_SUPPORT=true", "TS_DISABLE_PORTMAPPER=true",
		"HOME="+s.Dir, "XDG_CONFIG_HOME="+s.Dir, "XDG_DATA_HOME="+s.Dir, // where some keep their state
	)
	return c
}

// product returns a build of the proxy with its default config, except for the limits of
// one peer and the allowed host name.
func product(program string) func(Site) ([]command, error) {
	return func(s Site) ([]command, error) {
		config, err := s.write("config.toml", fmt.Sprintf(`node.hostname = %q
node.state_dir = %q
node.control_url = %q
listen.port = %d
upstream.url = "http://%s"
http.hosts = ["bench.test"]
limits.running = 100000
limits.running_per_identity = 100000
limits.connections = 20000
limits.connections_per_peer = 20000
limits.max_body = 4000000000
`, s.Name, filepath.Join(s.Dir, "state"), s.Control, s.Port, s.Upstream))
		c := s.command(program, "run", "--as-root", "--config", config)
		return []command{{c, ready}}, err
	}
}

// caddy logs no requests, which is its default. Its identity check is off: it rejects
// tagged devices such as the client.
func caddy(s Site) ([]command, error) {
	config, err := s.write("Caddyfile", fmt.Sprintf(`{
	admin off
	auto_https off
	persist_config off
	tailscale {
		auth_key %s
		control_url %s
		state_dir %s
	}
}
http://:%d {
	bind tailscale/%s
	@version {
		method GET
		path /api/version
	}
	@generate {
		method POST
		path /v1/chat/completions /v1/responses
	}
	route {
		reverse_proxy @version %[6]s
		reverse_proxy @generate %[6]s
		respond 403
	}
}
`, s.Key, s.Control, filepath.Join(s.Dir, "state"), s.Port, s.Name, s.Upstream))
	c := s.command("caddy", "run", "--config", config, "--adapter", "caddyfile")
	return []command{{c, "AuthLoop: state is"}}, err // its node joins after it reports that it serves
}

func tsnsrv(s Site) ([]command, error) {
	c := s.command("tsnsrv", "-name", s.Name, "-plaintext", "-listenAddr", fmt.Sprintf(":%d", s.Port),
		"-stateDir", filepath.Join(s.Dir, "state"), "-prometheusAddr", "", "-suppressTailnetDialer",
		"-stripPrefix=false", "-prefix", "/api/version", "-prefix", "/v1/chat/completions", "-prefix", "/v1/responses",
		"http://"+s.Upstream)
	c.Env = append(c.Env, "TS_URL="+s.Control)
	return []command{{c, "Serving"}}, nil
}

// haproxy returns HAProxy with more lines in its defaults. It inherits its listening socket,
// so that it has a free port and connections wait until it is up.
func haproxy(more string) func(Site) ([]command, error) {
	return func(s Site) ([]command, error) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		socket, err := listener.(*net.TCPListener).File()
		if err != nil {
			return nil, err
		}
		config, err := s.write("haproxy.cfg", fmt.Sprintf(`defaults
	mode http
	option http-no-delay
	timeout client 2m
	timeout server 24h
	timeout connect 5s
	%s
frontend tailnet
	bind fd@3
	acl version path /api/version
	acl generate path /v1/chat/completions /v1/responses
	http-request deny unless { method GET } version or { method POST } generate
	default_backend ollama
backend ollama
	http-reuse always
	server ollama %s
`, more, s.Upstream))
		if err != nil {
			return nil, err
		}
		c := s.command("haproxy", "-db", "-f", config)
		c.ExtraFiles = []*os.File{socket}
		s.Upstream = listener.Addr().String()
		return []command{{c, ""}, {s.command("rawforward"), ready}}, nil
	}
}

// write writes a file for the contestant and returns its path.
func (s Site) write(name, text string) (string, error) {
	path := filepath.Join(s.Dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
