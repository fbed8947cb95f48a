package control

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/util/zstdframe"
)

// keepAlive is the interval of keep-alive messages on an idle stream. Nodes time out
// after two minutes.
const keepAlive = 50 * time.Second

// stream is the long poll of an online node.
type stream struct {
	pending  chan struct{} // holds a token while a change is to be sent
	replaced chan struct{} // closed when the node opens another stream
	sent     uint64        // the last change that was sent; guarded by Server.mu
	resend   netip.Addr    // a peer to remove and add again; guarded by Server.mu
}

func (st *stream) poke() {
	select {
	case st.pending <- struct{}{}:
	default:
	}
}

func (s *Server) serveMap(w http.ResponseWriter, r *http.Request, machine key.MachinePublic) {
	var req tailcfg.MapRequest
	if err := decode(r, &req); err != nil {
		http.Error(w, fmt.Sprintf("map request: %v", err), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	n := s.find(func(n *node) bool { return n.Key == req.NodeKey })
	if n == nil {
		n = s.gone[req.NodeKey]
	}
	s.mu.Unlock()
	if n == nil || n.Machine != machine {
		http.Error(w, "node not found", http.StatusNotFound)
		return
	}
	out := &writer{w: w, compress: req.Compress == "zstd"}
	if req.Stream {
		s.stream(r.Context(), out, n)
		return
	}
	if !req.ReadOnly {
		s.update(n, &req)
	}
	out.send(&tailcfg.MapResponse{})
}

// update applies a node's update of itself.
func (s *Server) update(n *node, req *tailcfg.MapRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.DiscoKey != req.DiscoKey {
		s.epoch++ // the node has restarted and lost its WireGuard sessions
	}
	n.Endpoints, n.DiscoKey, n.Cap = req.Endpoints, req.DiscoKey, req.Version
	if req.Hostinfo != nil {
		n.Hostinfo = req.Hostinfo.View()
		n.setServicesHash(req.Hostinfo.ServicesHash)
		if net := req.Hostinfo.NetInfo; net != nil && net.PreferredDERP != 0 {
			n.HomeDERP = net.PreferredDERP
		}
	}
	s.changed()
}

// stream sends n the current state and then every change, until n disconnects.
func (s *Server) stream(ctx context.Context, out *writer, n *node) {
	st := s.openStream(n)
	defer s.closeStream(n, st)
	var sent sentState
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		var res *tailcfg.MapResponse
		var change uint64
		select {
		case <-ctx.Done():
			return
		case <-st.replaced:
			return
		case <-tick.C:
			res = &tailcfg.MapResponse{KeepAlive: true}
		case <-st.pending:
			res, change = s.nextResponse(n, st, &sent)
		}
		if res != nil && out.send(res) != nil {
			return
		}
		if change > 0 {
			s.mu.Lock()
			st.sent = change
			s.sent.Broadcast()
			s.mu.Unlock()
		}
	}
}

// openStream makes a stream the current one of n, in place of an older one.
func (s *Server) openStream(n *node) *stream {
	st := &stream{pending: make(chan struct{}, 1), replaced: make(chan struct{})}
	st.poke()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.stream != nil {
		close(n.stream.replaced)
	}
	n.stream = st
	s.changed()
	return st
}

// closeStream marks n as offline, unless another stream has replaced st.
func (s *Server) closeStream(n *node, st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.stream == st {
		n.stream, n.lastSeen = nil, time.Now().UTC().Truncate(time.Second)
		s.changed()
	}
	s.sent.Broadcast()
}

// nextResponse returns what n does not have yet, or nil, and the number of the change
// that the response includes. The number is 0 if another response must follow.
func (s *Server) nextResponse(n *node, st *stream, sent *sentState) (*tailcfg.MapResponse, uint64) {
	s.mu.Lock()
	change := s.change
	view := s.view(n, time.Now())
	if st.resend.IsValid() {
		view = view.without(st.resend)
		st.resend, change = netip.Addr{}, 0
		st.poke()
	}
	request := s.servicesRequest(n)
	s.mu.Unlock()
	res := sent.difference(view)
	if request != nil {
		if res == nil {
			res = &tailcfg.MapResponse{}
		}
		res.PingRequest = request
	}
	return res, change
}

// writer frames messages as nodes expect them: length, then JSON.
type writer struct {
	w        http.ResponseWriter
	compress bool
}

func (o *writer) send(res *tailcfg.MapResponse) error {
	body, err := json.Marshal(res)
	if err != nil {
		return err
	}
	if o.compress {
		body = zstdframe.AppendEncode(nil, body, zstdframe.FastestCompression)
	}
	frame := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	if _, err := o.w.Write(append(frame, body...)); err != nil {
		return err
	}
	return http.NewResponseController(o.w).Flush()
}
