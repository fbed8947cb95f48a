/* The C interface: what needs no Go is done here, the rest is passed on. */
#include "tailscale.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "_cgo_export.h"

/* Go's prototypes know no const. */
#define MUT(s) ((char *)(s))

tailscale tailscale_new(void) { return nodeNew(); }
int tailscale_start(tailscale sd) { return nodeStart(sd); }
int tailscale_up(tailscale sd) { return nodeUp(sd); }
int tailscale_begin_up(tailscale sd, int64_t timeout_ms, int *fd_out) { return nodeBeginUp(sd, timeout_ms, fd_out); }
int tailscale_close(tailscale sd) { return nodeClose(sd); }

int tailscale_set_dir(tailscale sd, const char *dir) { return nodeSet(sd, 'd', MUT(dir)); }
int tailscale_set_hostname(tailscale sd, const char *hostname) { return nodeSet(sd, 'h', MUT(hostname)); }
int tailscale_set_authkey(tailscale sd, const char *authkey) { return nodeSet(sd, 'k', MUT(authkey)); }
int tailscale_set_client_secret(tailscale sd, const char *secret) { return nodeSet(sd, 's', MUT(secret)); }
int tailscale_set_control_url(tailscale sd, const char *control_url) { return nodeSet(sd, 'c', MUT(control_url)); }
int tailscale_set_tags(tailscale sd, const char *tags) { return nodeSet(sd, 't', MUT(tags)); }
int tailscale_set_ephemeral(tailscale sd, int ephemeral) { return nodeSetFlag(sd, 'e', ephemeral); }
int tailscale_set_port_mapping(tailscale sd, int enabled) { return nodeSetFlag(sd, 'p', enabled); }
int tailscale_set_start_offline(tailscale sd, int enabled) { return nodeSetFlag(sd, 'o', enabled); }
int tailscale_set_logfd(tailscale sd, int fd) { return nodeSetLogFD(sd, fd); }
int tailscale_set_log_callback(tailscale sd, tailscale_log_fn callback, void *context) {
	return nodeSetLogCallback(sd, (void *)callback, context);
}
void ts_call_log(void *callback, void *context, const char *line, size_t len) {
	((tailscale_log_fn)callback)(context, line, len);
}

int tailscale_getips(tailscale sd, char *buf, size_t buflen) { return nodeIPs(sd, buf, buflen); }
int tailscale_status(tailscale sd, char *buf, size_t buflen) { return nodeStatus(sd, buf, buflen); }
int tailscale_login_url(tailscale sd, char *buf, size_t buflen) { return nodeLoginURL(sd, buf, buflen); }
int tailscale_whois(tailscale sd, const char *addr, char *buf, size_t buflen) { return nodeWhoIs(sd, MUT(addr), buf, buflen); }
int tailscale_check_access(tailscale sd, const char *src, const char *dst) { return nodeCheckAccess(sd, MUT(src), MUT(dst)); }
int tailscale_capabilities(tailscale sd, const char *src, const char *dst, char *buf, size_t buflen) {
	return nodeCapabilities(sd, MUT(src), MUT(dst), buf, buflen);
}
char *tailscale_peers(tailscale sd, const uint16_t *ports, size_t count, const char *capability) {
	return nodePeers(sd, (uint16_t *)ports, count, MUT(capability));
}
int tailscale_host_service(tailscale sd, const char *name, uint16_t port) { return nodeHostService(sd, MUT(name), port); }
int tailscale_advertise_service(tailscale sd, int on) { return nodeAdvertiseService(sd, on); }
char *tailscale_logout(tailscale sd, int64_t timeout_ms) { return nodeLogout(sd, timeout_ms); }
char *tailscale_certificate(tailscale sd, const char *name, int64_t at_least_ms, int64_t timeout_ms) {
	return nodeCertificate(sd, MUT(name), at_least_ms, timeout_ms);
}
void tailscale_free(char *text) { free(text); }
void tailscale_forget_credentials(void) { nodeForgetCredentials(); }
int tailscale_events(tailscale sd, int *fd_out) { return nodeEvents(sd, fd_out); }

/* The last failure of this thread. What another thread does with the node
 * must not change what this one is about to read. */
static _Thread_local struct {
	tailscale sd;
	int kind;
	char text[1024];
} failure;

/* Called by Go on the thread that called it. */
void ts_fail(tailscale sd, int kind, const char *text, size_t len) {
	if (len >= sizeof failure.text)
		len = sizeof failure.text - 1;
	memcpy(failure.text, text, len);
	failure.text[len] = 0;
	failure.sd = sd;
	failure.kind = kind;
}

int tailscale_errmsg(tailscale sd, char *buf, size_t buflen) {
	int err = nodeError(sd, buf, buflen); /* what any thread was told last */
	if (err == EBADF || failure.sd != sd || buf == NULL || buflen == 0)
		return err;
	size_t len = strlen(failure.text), fits = len < buflen ? len : buflen - 1;
	memcpy(buf, failure.text, fits);
	buf[fits] = 0;
	return fits < len ? ERANGE : 0;
}

int tailscale_errkind(tailscale sd) { return failure.sd == sd && sd != 0 ? failure.kind : nodeErrorKind(sd); }

/* Makes a descriptor of ours blocking, as upstream's are, or closes it. */
static int make_blocking(int fd) {
	int flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0)
		return 0;
	close(fd);
	return -1;
}

int tailscale_listen(tailscale sd, const char *network, const char *addr, tailscale_listener *listener_out) {
	int err = nodeListen(sd, MUT(network), MUT(addr), listener_out);
	return err ? err : make_blocking(*listener_out);
}

/* Receives the id of one connection. 0, EAGAIN or EBADF. */
static int receive(tailscale_listener listener, uint64_t *id) {
	unsigned char text[8];
	ssize_t n;
	do
		n = recv(listener, text, sizeof text, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return EAGAIN;
	if (n != (ssize_t)sizeof text) /* they are written as one */
		return EBADF;
	*id = 0;
	for (int i = 7; i >= 0; i--)
		*id = *id << 8 | text[i];
	return 0;
}

int tailscale_accept_peer(tailscale_listener listener, struct tailscale_accepted *out) {
	for (;;) {
		int err = receive(listener, &out->id);
		if (err)
			return err;
		if (connClaim(out->id, out->remote, out->local, out->identity) == 0)
			return 0;
		/* The peer broke it while it waited. */
	}
}

int tailscale_dial_peer(tailscale sd, const char *network, const char *addr, struct tailscale_accepted *out) {
	out->identity[0] = 0;
	return nodeDial(sd, MUT(network), MUT(addr), &out->id, out->remote, out->local);
}

int tailscale_accept(tailscale_listener listener, tailscale_conn *conn_out) {
	for (;;) {
		uint64_t id;
		int err = receive(listener, &id);
		if (err == EAGAIN) {
			errno = EAGAIN;
			return -1;
		}
		if (err)
			return err;
		/* One that can't be had is lost, as when no descriptor is free, but not the listener. */
		if ((*conn_out = connPlain(id)) >= 0)
			return make_blocking(*conn_out);
	}
}

int tailscale_dial(tailscale sd, const char *network, const char *addr, tailscale_conn *conn_out) {
	struct tailscale_accepted out;
	int err = tailscale_dial_peer(sd, network, addr, &out);
	if (err)
		return err;
	*conn_out = connDescriptor(out.id);
	tailscale_conn_release(out.id, *conn_out < 0);
	return *conn_out < 0 ? -1 : make_blocking(*conn_out);
}

int tailscale_getremoteaddr(tailscale_listener listener, tailscale_conn conn, char *buf, size_t buflen) {
	(void)listener;
	return connRemote(conn, buf, buflen);
}

int tailscale_conn_watch(uint64_t id, tailscale_ready_fn ready, void *context) {
	return connWatch(id, (void *)ready, context);
}
void ts_call_ready(void *callback, void *context) { ((tailscale_ready_fn)callback)(context); }
int tailscale_conn_descriptor(uint64_t id) { return connDescriptor(id); }
void tailscale_conn_shutdown(uint64_t id) { connShutdown(id); }
ssize_t tailscale_conn_read(uint64_t id, void *buf, size_t len, int *more) { return connRead(id, buf, len, more); }
size_t tailscale_conn_write(uint64_t id, const struct iovec *parts, int count, uint64_t after) {
	return connWrite(id, (struct iovec *)parts, count, after);
}
int tailscale_conn_peer_left(uint64_t id) { return connPeerLeft(id); }
int tailscale_conn_was_reset(uint64_t id) { return connWasReset(id); }
void tailscale_conn_release(uint64_t id, int abort) { connRelease(id, abort); }
void tailscale_conn_abort(uint64_t id) { connAbort(id); }
