// Package main is the C interface of package node. It converts handles, strings and
// errors. tailscale.h documents it.
package main

// #include <stdlib.h>
// #include "tailscale.h"
//
// // cgo has no const.
// typedef const char const_char;
// typedef const uint16_t const_uint16_t;
// typedef const struct iovec const_iovec;
//
// // Go can't call a pointer to a C function.
// static inline void call_log(tailscale_log_fn log, void *context, const char *line, size_t len) { log(context, line, len); }
// static inline void call_ready(tailscale_ready_fn ready, void *context) { ready(context); }
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

	"remote-ollama-proxy/libtailscale/node"
)

func main() {}

var (
	handles    sync.Map // C.tailscale → *node.Node
	lastHandle atomic.Int32
)

func goString(s *C.const_char) string { return C.GoString((*C.char)(s)) }

// chars lends the bytes of s, without a NUL, to C for one call.
func chars(s string) *C.const_char { return (*C.const_char)(unsafe.Pointer(unsafe.StringData(s))) }

// toJSON encodes v for C, which frees the result.
func toJSON(v any) (*C.char, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return C.CString(string(b)), nil
}

// call runs f and sets failure from its error. A panic must not unwind into C: call
// turns it into an error.
func call(failure **C.char, f func() error) {
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic in the tailnet node: %v", p)
			}
		}()
		return f()
	}()
	*failure = nil
	if err != nil {
		*failure, _ = toJSON(node.FailureOf(err)) // an int and a string always encode
	}
}

// with runs f on the node of a handle.
func with(sd C.tailscale, failure **C.char, f func(*node.Node) error) {
	call(failure, func() error {
		n, ok := handles.Load(sd)
		if !ok {
			return node.ErrClosed
		}
		return f(n.(*node.Node))
	})
}

// answer runs f on the node of a handle and returns its result as JSON; nil on failure.
func answer[T any](sd C.tailscale, failure **C.char, f func(*node.Node) (T, error)) (out *C.char) {
	with(sd, failure, func(n *node.Node) error {
		v, err := f(n)
		if err == nil {
			out, err = toJSON(v)
		}
		return err
	})
	return out
}

// descriptor runs f on the node of a handle and returns its descriptor; -1 on failure.
func descriptor(sd C.tailscale, failure **C.char, f func(*node.Node) (int, error)) C.int {
	fd := -1
	with(sd, failure, func(n *node.Node) (err error) {
		fd, err = f(n)
		return err
	})
	return C.int(fd)
}

// duration clamps ms to what a time.Duration can hold, about 292 years.
func duration(ms C.int64_t) time.Duration {
	return time.Duration(min(max(int64(ms), 0), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

func cBool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

//export tailscale_new
func tailscale_new(config *C.const_char, log C.tailscale_log_fn, logContext unsafe.Pointer, failure **C.char) (sd C.tailscale) {
	call(failure, func() error {
		var c node.Config
		if err := json.Unmarshal([]byte(goString(config)), &c); err != nil {
			return fmt.Errorf("read config of the node: %w", err)
		}
		c.Logf = func(format string, args ...any) {
			line := strings.TrimSuffix(fmt.Sprintf(format, args...), "\n")
			C.call_log(log, logContext, chars(line), C.size_t(len(line)))
		}
		sd = C.tailscale(lastHandle.Add(1))
		handles.Store(sd, node.New(c))
		return nil
	})
	return sd
}

//export tailscale_close
func tailscale_close(sd C.tailscale, failure **C.char) {
	with(sd, failure, (*node.Node).Close)
	handles.Delete(sd)
}

//export tailscale_begin_up
func tailscale_begin_up(sd C.tailscale, timeoutMS C.int64_t, failure **C.char) C.int {
	return descriptor(sd, failure, func(n *node.Node) (int, error) { return n.BeginUp(duration(timeoutMS)) })
}

//export tailscale_events
func tailscale_events(sd C.tailscale, failure **C.char) C.int {
	return descriptor(sd, failure, (*node.Node).Events)
}

//export tailscale_logout
func tailscale_logout(sd C.tailscale, timeoutMS C.int64_t, failure **C.char) *C.char {
	return answer(sd, failure, func(n *node.Node) (*node.LogoutResult, error) {
		ctx, cancel := context.WithTimeout(context.Background(), duration(timeoutMS))
		defer cancel()
		return n.Logout(ctx)
	})
}

//export tailscale_certificate
func tailscale_certificate(sd C.tailscale, name *C.const_char, atLeastMS, timeoutMS C.int64_t, failure **C.char) *C.char {
	return answer(sd, failure, func(n *node.Node) (*node.Certificate, error) {
		ctx, cancel := context.WithTimeout(context.Background(), duration(timeoutMS))
		defer cancel()
		return n.Certificate(ctx, goString(name), duration(atLeastMS))
	})
}

//export tailscale_forget_credentials
func tailscale_forget_credentials() { node.ForgetCredentials() }

//export tailscale_free
func tailscale_free(text *C.char) { C.free(unsafe.Pointer(text)) }

// parseFlow parses the two ends of a connection: "ip" and "ip:port".
func parseFlow(src, dst *C.const_char) (from netip.Addr, to netip.AddrPort, err error) {
	if from, err = netip.ParseAddr(goString(src)); err != nil {
		return from, to, fmt.Errorf("parse source address: %w", err)
	}
	if to, err = netip.ParseAddrPort(goString(dst)); err != nil {
		return from, to, fmt.Errorf("parse destination address: %w", err)
	}
	return from, to, nil
}

//export tailscale_check_access
func tailscale_check_access(sd C.tailscale, src, dst *C.const_char, failure **C.char) C.int {
	allowed := false
	with(sd, failure, func(n *node.Node) error {
		from, to, err := parseFlow(src, dst)
		if err == nil {
			allowed, err = n.CheckAccess(from, to)
		}
		return err
	})
	return cBool(allowed)
}

//export tailscale_capabilities
func tailscale_capabilities(sd C.tailscale, src, dst *C.const_char, failure **C.char) *C.char {
	return answer(sd, failure, func(n *node.Node) (node.Capabilities, error) {
		from, to, err := parseFlow(src, dst)
		if err != nil {
			return nil, err
		}
		return n.Capabilities(from, to)
	})
}

//export tailscale_peers
func tailscale_peers(sd C.tailscale, ports *C.const_uint16_t, count C.size_t, capability *C.const_char, failure **C.char) *C.char {
	at := slices.Clone(unsafe.Slice((*uint16)(ports), int(count)))
	return answer(sd, failure, func(n *node.Node) ([]node.Peer, error) { return n.Peers(at, goString(capability)) })
}

//export tailscale_listen
func tailscale_listen(sd C.tailscale, port C.uint16_t, failure **C.char) C.int {
	return descriptor(sd, failure, func(n *node.Node) (int, error) { return n.Listen(uint16(port)) })
}

//export tailscale_host_service
func tailscale_host_service(sd C.tailscale, name *C.const_char, port C.uint16_t, failure **C.char) {
	with(sd, failure, func(n *node.Node) error {
		return n.HostService(context.Background(), goString(name), uint16(port))
	})
}

//export tailscale_advertise_service
func tailscale_advertise_service(sd C.tailscale, on C.int, failure **C.char) {
	with(sd, failure, func(n *node.Node) error { return n.AdvertiseService(context.Background(), on != 0) })
}

//export tailscale_conn_claim
func tailscale_conn_claim(id C.uint64_t) *C.char {
	conn := node.Claim(uint64(id))
	if conn == nil {
		return nil
	}
	out, _ := toJSON(conn.Info()) // strings and addresses always encode
	return out
}

//export tailscale_conn_on_readable
func tailscale_conn_on_readable(id C.uint64_t, ready C.tailscale_ready_fn, readyContext unsafe.Pointer) {
	node.OnReadable(uint64(id), func() { C.call_ready(ready, readyContext) })
}

//export tailscale_conn_read
func tailscale_conn_read(id C.uint64_t, buf unsafe.Pointer, size C.size_t, more *C.int) C.ssize_t {
	result := node.TryRead(uint64(id), unsafe.Slice((*byte)(buf), int(size)))
	*more = cBool(result.More)
	switch result.Status {
	case node.ReadWouldBlock:
		return -C.ssize_t(syscall.EAGAIN)
	case node.ReadReset:
		return -C.ssize_t(syscall.ECONNRESET)
	default:
		return C.ssize_t(result.N) // 0 at the end
	}
}

//export tailscale_conn_write
func tailscale_conn_write(id C.uint64_t, parts *C.const_iovec, count C.int, streamed C.uint64_t) C.size_t {
	var slices [][]byte
	for _, part := range unsafe.Slice((*C.struct_iovec)(parts), int(count)) {
		slices = append(slices, unsafe.Slice((*byte)(part.iov_base), int(part.iov_len)))
	}
	return C.size_t(node.TryWrite(uint64(id), slices, uint64(streamed)))
}

//export tailscale_conn_descriptor
func tailscale_conn_descriptor(id C.uint64_t) C.int {
	fd, err := node.Descriptor(uint64(id))
	if err != nil {
		return -1
	}
	return C.int(fd)
}

//export tailscale_conn_shutdown
func tailscale_conn_shutdown(id C.uint64_t) { node.Shutdown(uint64(id)) }

//export tailscale_conn_peer_closed
func tailscale_conn_peer_closed(id C.uint64_t) C.int { return cBool(node.PeerClosed(uint64(id))) }

//export tailscale_conn_abort
func tailscale_conn_abort(id C.uint64_t) { node.Abort(uint64(id)) }

//export tailscale_conn_release
func tailscale_conn_release(id C.uint64_t, abort C.int) { node.Release(uint64(id), abort != 0) }
