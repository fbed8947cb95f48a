// The C interface of package node: handles, strings and error codes. Every
// decision is in package node; tailscale.h is the documentation.
package main

// #include <stdint.h>
// #include <stdlib.h>
// #include <sys/uio.h>
// #include "tailscale.h"
// void ts_call_log(void *callback, void *context, const char *line, size_t len);
// void ts_call_ready(void *callback, void *context);
// void ts_fail(tailscale sd, int kind, const char *text, size_t len);
import "C"

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"tailscale.com/types/logger"

	"remote-ollama-proxy/libtailscale/node"
)

func main() {}

type handle struct {
	*node.Node
	mu      sync.Mutex
	lastErr error
}

var (
	handles    sync.Map // C.int → *handle
	lastHandle atomic.Int32
)

func lookup(sd C.int) *handle {
	if h, ok := handles.Load(sd); ok {
		return h.(*handle)
	}
	return nil
}

// try runs f on a node and keeps its error. A panic of Go's must not unwind
// into C; it becomes an error like any other.
func try(sd C.int, f func(*handle) error) (code C.int) {
	h := lookup(sd)
	if h == nil {
		fail(sd, node.KindClosed, "the node is closed")
		return C.int(syscall.EBADF)
	}
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("internal fault: %v", p)
			}
		}()
		return f(h)
	}()
	if err == nil {
		return 0
	}
	h.mu.Lock()
	h.lastErr = err
	h.mu.Unlock()
	fail(sd, node.KindOf(err), err.Error())
	return -1
}

// fail keeps an error for the calling thread: it is the one that is about to
// ask, whatever other threads do with the node meanwhile.
func fail(sd C.int, kind node.Kind, text string) {
	C.ts_fail(sd, C.int(kind), chars(text), C.size_t(len(text)))
}

// chars lends the bytes of s, without a NUL, to C for one call.
func chars(s string) *C.char { return (*C.char)(unsafe.Pointer(unsafe.StringData(s))) }

// put writes s and a NUL into a C buffer.
func put(buf *C.char, size C.size_t, s string) C.int {
	if buf == nil || size == 0 {
		return C.int(syscall.ERANGE)
	}
	out := unsafe.Slice((*byte)(unsafe.Pointer(buf)), int(size))
	n := copy(out[:len(out)-1], s)
	out[n] = 0
	if n < len(s) {
		return C.int(syscall.ERANGE)
	}
	return 0
}

// putFrom runs f on a node and writes what it returns into a C buffer.
func putFrom(sd C.int, buf *C.char, size C.size_t, f func(*handle) (string, error)) C.int {
	var s string
	code := try(sd, func(h *handle) (err error) { s, err = f(h); return })
	if code != 0 {
		return code
	}
	return put(buf, size, s)
}

//export nodeNew
func nodeNew() C.int {
	sd := C.int(lastHandle.Add(1))
	handles.Store(sd, &handle{Node: node.New()})
	return sd
}

//export nodeStart
func nodeStart(sd C.int) C.int { return try(sd, func(h *handle) error { return h.Start() }) }

//export nodeUp
func nodeUp(sd C.int) C.int {
	return try(sd, func(h *handle) error {
		_, err := h.UpPatiently(context.Background())
		return err
	})
}

//export nodeBeginUp
func nodeBeginUp(sd C.int, timeoutMS C.int64_t, fdOut *C.int) C.int {
	return try(sd, func(h *handle) error {
		fd, err := h.BeginUp(duration(timeoutMS))
		*fdOut = C.int(fd)
		return err
	})
}

// duration keeps to what a duration can hold, some centuries.
func duration(ms C.int64_t) time.Duration {
	return time.Duration(min(max(int64(ms), 0), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

//export nodeClose
func nodeClose(sd C.int) C.int {
	code := try(sd, func(h *handle) error { return h.Close() })
	handles.Delete(sd)
	return code
}

//export nodeSet
func nodeSet(sd C.int, option C.char, value *C.char) C.int {
	s := C.GoString(value)
	return try(sd, func(h *handle) error {
		return h.Configure(func(c *node.Config) {
			switch option {
			case 'd':
				c.Dir = s
			case 'h':
				c.Hostname = s
			case 'k':
				c.AuthKey = s
			case 's':
				c.ClientSecret = s
			case 'c':
				c.ControlURL = s
			case 't':
				c.Tags = strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
			}
		})
	})
}

//export nodeSetFlag
func nodeSetFlag(sd C.int, option C.char, value C.int) C.int {
	return try(sd, func(h *handle) error {
		return h.Configure(func(c *node.Config) {
			switch option {
			case 'e':
				c.Ephemeral = value != 0
			case 'p':
				c.PortMapping = value != 0
			case 'o':
				c.StartOffline = value != 0
			}
		})
	})
}

//export nodeSetLogFD
func nodeSetLogFD(sd, fd C.int) C.int {
	return try(sd, func(h *handle) error {
		return h.Configure(func(c *node.Config) {
			c.Logf = logger.Discard
			if fd < 0 {
				return
			}
			c.Logf = func(format string, args ...any) {
				syscall.Write(int(fd), []byte(strings.TrimSuffix(fmt.Sprintf(format, args...), "\n")+"\n"))
			}
		})
	})
}

//export nodeSetLogCallback
func nodeSetLogCallback(sd C.int, callback, ctx unsafe.Pointer) C.int {
	return try(sd, func(h *handle) error {
		return h.Configure(func(c *node.Config) {
			c.Logf = logger.Discard
			if callback == nil {
				return
			}
			c.Logf = func(format string, args ...any) {
				line := strings.TrimSuffix(fmt.Sprintf(format, args...), "\n")
				C.ts_call_log(callback, ctx, chars(line), C.size_t(len(line)))
			}
		})
	})
}

//export nodeIPs
func nodeIPs(sd C.int, buf *C.char, size C.size_t) C.int {
	return putFrom(sd, buf, size, func(h *handle) (string, error) {
		var ips []string
		for _, ip := range h.Addresses() {
			ips = append(ips, ip.String())
		}
		return strings.Join(ips, ","), nil
	})
}

//export nodeStatus
func nodeStatus(sd C.int, buf *C.char, size C.size_t) C.int {
	return putFrom(sd, buf, size, func(h *handle) (string, error) {
		status, err := h.Status(context.Background())
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(status)
		return string(b), err
	})
}

//export nodeError
func nodeError(sd C.int, buf *C.char, size C.size_t) C.int {
	h := lookup(sd)
	if h == nil {
		put(buf, size, "")
		return C.int(syscall.EBADF)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lastErr == nil {
		return put(buf, size, "")
	}
	return put(buf, size, h.lastErr.Error())
}

//export nodeErrorKind
func nodeErrorKind(sd C.int) C.int {
	h := lookup(sd)
	if h == nil {
		return C.int(node.KindClosed)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return C.int(node.KindOf(h.lastErr))
}

//export nodeLoginURL
func nodeLoginURL(sd C.int, buf *C.char, size C.size_t) C.int {
	return putFrom(sd, buf, size, func(h *handle) (string, error) { return h.LoginURL(), nil })
}

//export nodeWhoIs
func nodeWhoIs(sd C.int, addr *C.char, buf *C.char, size C.size_t) C.int {
	s := C.GoString(addr)
	return putFrom(sd, buf, size, func(h *handle) (string, error) {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			ip, err := netip.ParseAddr(s)
			if err != nil {
				return "", fmt.Errorf("address %q: want \"ip\" or \"ip:port\"", s)
			}
			ap = netip.AddrPortFrom(ip, 0)
		}
		id, err := h.WhoIs(ap)
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(id)
		return string(b), err
	})
}

// parseFlow parses the two ends of a connection: "ip" and "ip:port".
func parseFlow(src, dst string) (from netip.Addr, to netip.AddrPort, err error) {
	if from, err = netip.ParseAddr(src); err != nil {
		return from, to, fmt.Errorf("source address %q: want \"ip\"", src)
	}
	if to, err = netip.ParseAddrPort(dst); err != nil {
		return from, to, fmt.Errorf("destination address %q: want \"ip:port\"", dst)
	}
	return from, to, nil
}

//export nodeCheckAccess
func nodeCheckAccess(sd C.int, src, dst *C.char) C.int {
	s, d := C.GoString(src), C.GoString(dst)
	allowed := C.int(0)
	code := try(sd, func(h *handle) error {
		from, to, err := parseFlow(s, d)
		if err != nil {
			return err
		}
		ok, err := h.CheckAccess(from, to)
		if ok {
			allowed = 1
		}
		return err
	})
	if code != 0 {
		return -1
	}
	return allowed
}

//export nodeCapabilities
func nodeCapabilities(sd C.int, src, dst *C.char, buf *C.char, size C.size_t) C.int {
	s, d := C.GoString(src), C.GoString(dst)
	return putFrom(sd, buf, size, func(h *handle) (string, error) {
		from, to, err := parseFlow(s, d)
		if err != nil {
			return "", err
		}
		caps, err := h.Capabilities(from, to)
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(caps)
		return string(b), err
	})
}

//export nodePeers
func nodePeers(sd C.int, ports *C.uint16_t, count C.size_t, capability *C.char) (out *C.char) {
	name := C.GoString(capability)
	at := slices.Clone(unsafe.Slice((*uint16)(ports), int(count)))
	try(sd, func(h *handle) error {
		peers, err := h.Peers(at, name)
		if err != nil {
			return err
		}
		b, err := json.Marshal(peers)
		if err == nil {
			out = C.CString(string(b))
		}
		return err
	})
	return out
}

//export nodeLogout
func nodeLogout(sd C.int, timeoutMS C.int64_t) (out *C.char) {
	try(sd, func(h *handle) error {
		ctx, cancel := context.WithTimeout(context.Background(), duration(timeoutMS))
		defer cancel()
		farewell, err := h.Logout(ctx)
		if err != nil {
			return err
		}
		b, err := json.Marshal(farewell)
		if err == nil {
			out = C.CString(string(b))
		}
		return err
	})
	return out
}

//export nodeCertificate
func nodeCertificate(sd C.int, name *C.char, atLeastMS, timeoutMS C.int64_t) (out *C.char) {
	s := C.GoString(name)
	try(sd, func(h *handle) error {
		ctx, cancel := context.WithTimeout(context.Background(), duration(timeoutMS))
		defer cancel()
		certificate, err := h.Certificate(ctx, s, duration(atLeastMS))
		if err != nil {
			return err
		}
		b, err := json.Marshal(certificate)
		if err == nil {
			out = C.CString(string(b))
		}
		return err
	})
	return out
}

//export nodeForgetCredentials
func nodeForgetCredentials() { node.ForgetCredentials() }

//export nodeEvents
func nodeEvents(sd C.int, fdOut *C.int) C.int {
	return try(sd, func(h *handle) error {
		fd, err := h.Events()
		*fdOut = C.int(fd)
		return err
	})
}

//export nodeListen
func nodeListen(sd C.int, network, addr *C.char, fdOut *C.int) C.int {
	net, at := C.GoString(network), C.GoString(addr)
	return try(sd, func(h *handle) error {
		fd, err := h.Listen(net, at)
		*fdOut = C.int(fd)
		return err
	})
}

//export nodeHostService
func nodeHostService(sd C.int, name *C.char, port C.uint16_t) C.int {
	s := C.GoString(name)
	return try(sd, func(h *handle) error { return h.HostService(context.Background(), s, uint16(port)) })
}

//export nodeAdvertiseService
func nodeAdvertiseService(sd, on C.int) C.int {
	return try(sd, func(h *handle) error { return h.Advertise(context.Background(), on != 0) })
}

//export nodeDial
func nodeDial(sd C.int, network, addr *C.char, idOut *C.uint64_t, remote, local *C.char) C.int {
	net, to := C.GoString(network), C.GoString(addr)
	return try(sd, func(h *handle) error {
		conn, err := h.Dial(net, to)
		if err != nil {
			return err
		}
		*idOut = C.uint64_t(conn.ID)
		putAddrs(conn, remote, local)
		return nil
	})
}

//export connClaim
func connClaim(id C.uint64_t, remote, local, identity *C.char) C.int {
	conn := node.Claim(uint64(id))
	if conn == nil {
		return -1
	}
	putAddrs(conn, remote, local)
	return put(identity, C.TAILSCALE_IDENTITY_MAX, string(conn.Identity))
}

func putAddrs(conn *node.Conn, remote, local *C.char) {
	put(remote, C.TAILSCALE_ADDR_MAX, conn.Remote.String())
	put(local, C.TAILSCALE_ADDR_MAX, conn.Local.String())
}

//export connPlain
func connPlain(id C.uint64_t) C.int {
	fd, err := node.ClaimPlain(uint64(id))
	if err != nil {
		return -1
	}
	return C.int(fd)
}

//export connDescriptor
func connDescriptor(id C.uint64_t) C.int {
	fd, err := node.Descriptor(uint64(id))
	if err != nil {
		return -1
	}
	return C.int(fd)
}

//export connShutdown
func connShutdown(id C.uint64_t) { node.Shutdown(uint64(id)) }

//export connRemote
func connRemote(fd C.int, buf *C.char, size C.size_t) C.int {
	addr, ok := node.RemoteOf(int(fd))
	if !ok {
		return C.int(syscall.EBADF)
	}
	return put(buf, size, addr.Addr().String())
}

//export connPeerLeft
func connPeerLeft(id C.uint64_t) C.int {
	if node.PeerLeft(uint64(id)) {
		return 1
	}
	return 0
}

//export connWasReset
func connWasReset(id C.uint64_t) C.int {
	if node.WasReset(uint64(id)) {
		return 1
	}
	return 0
}

//export connWrite
func connWrite(id C.uint64_t, parts *C.struct_iovec, count C.int, after C.uint64_t) C.size_t {
	var slices [][]byte
	for _, part := range unsafe.Slice(parts, int(count)) {
		slices = append(slices, unsafe.Slice((*byte)(part.iov_base), int(part.iov_len)))
	}
	return C.size_t(node.WriteDirect(uint64(id), slices, uint64(after)))
}

//export connWatch
func connWatch(id C.uint64_t, callback, ctx unsafe.Pointer) C.int {
	if node.Watch(uint64(id), func() { C.ts_call_ready(callback, ctx) }) {
		return 1
	}
	return 0
}

//export connRead
func connRead(id C.uint64_t, buf unsafe.Pointer, size C.size_t, more *C.int) C.ssize_t {
	n, rest, none := node.ReadDirect(uint64(id), unsafe.Slice((*byte)(buf), int(size)))
	*more = 0
	if rest {
		*more = 1
	}
	if n > 0 {
		return C.ssize_t(n)
	}
	switch none {
	case node.ReadNothing:
		return -C.ssize_t(syscall.EAGAIN)
	case node.ReadReset:
		return -C.ssize_t(syscall.ECONNRESET)
	}
	return 0
}

//export connRelease
func connRelease(id C.uint64_t, abort C.int) { node.Release(uint64(id), abort != 0) }

//export connAbort
func connAbort(id C.uint64_t) { node.Abort(uint64(id)) }
