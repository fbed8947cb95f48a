/*
 * A tailnet node inside a C program: its addresses, listeners and connections
 * exist in the tailnet only. Nothing here opens a listener of the operating
 * system.
 *
 * Where upstream's libtailscale offers the same thing, name, signature and
 * contract are the same, so that programs written for it link and work.
 * tailscale_loopback and tailscale_enable_funnel_to_localhost_plaintext_http1
 * are left out on purpose: both need an OS listener.
 *
 * Unless said otherwise a function returns 0, or -1 on failure with the reason
 * in tailscale_errmsg and tailscale_errkind; strings are NUL-terminated UTF-8;
 * any function may be called from any thread.
 */
#ifndef TAILSCALE_H
#define TAILSCALE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A node. */
typedef int tailscale;

/* A connection: a stream socket for read, write, shutdown and close. */
typedef int tailscale_conn;

/* A listener: a descriptor that polls readable while a connection waits.
 * close() ends it; connections not yet accepted are reset. */
typedef int tailscale_listener;

/* ---- What upstream has too ---- */

/* A new node; nothing happens on the network before start, up, listen or dial. */
extern tailscale tailscale_new(void);

/* Starts the node without waiting for the tailnet. */
extern int tailscale_start(tailscale sd);

/* Starts the node and waits until it is up, for as long as somebody may still
 * log in or approve the device; tailscale_close ends the wait. See also
 * tailscale_begin_up. */
extern int tailscale_up(tailscale sd);

/* Stops the node: its open connections are reset, its listeners end; what was
 * closed before has a moment to reach the peer. EBADF: sd is no node. */
extern int tailscale_close(tailscale sd);

/* Options; they must be set before the node starts. */
extern int tailscale_set_dir(tailscale sd, const char *dir);
extern int tailscale_set_hostname(tailscale sd, const char *hostname);
extern int tailscale_set_authkey(tailscale sd, const char *authkey);
extern int tailscale_set_control_url(tailscale sd, const char *control_url);
extern int tailscale_set_ephemeral(tailscale sd, int ephemeral);

/* The log goes to fd, which stays the caller's; -1 discards it. Without either
 * only what somebody must read, the login URL, goes to stderr. */
extern int tailscale_set_logfd(tailscale sd, int fd);

/* Writes the node's addresses, separated by commas. EBADF, ERANGE. */
extern int tailscale_getips(tailscale sd, char *buf, size_t buflen);

/* Connects to addr, "name:port" or "ip:port", over network "tcp", "tcp4" or
 * "tcp6" within 30 seconds. The connection is blocking and close-on-exec. */
extern int tailscale_dial(tailscale sd, const char *network, const char *addr, tailscale_conn *conn_out);

/* Listens on addr, ":port" or "ip:port" with an address of the node. The
 * listener is blocking and close-on-exec. At most 1024 connections wait. */
extern int tailscale_listen(tailscale sd, const char *network, const char *addr, tailscale_listener *listener_out);

/* Waits for a connection, which is blocking and close-on-exec. EBADF: the
 * listener has ended. -1 with errno EAGAIN: none waits and the listener was
 * made non-blocking. */
extern int tailscale_accept(tailscale_listener listener, tailscale_conn *conn_out);

/* Writes the tailnet address of the peer of an open connection that
 * tailscale_accept returned. EBADF, ERANGE. */
extern int tailscale_getremoteaddr(tailscale_listener listener, tailscale_conn conn, char *buf, size_t buflen);

/* Writes the last error of sd in the calling thread; if it has had none, the
 * last one in any. EBADF, ERANGE (buf then holds its beginning). */
extern int tailscale_errmsg(tailscale sd, char *buf, size_t buflen);

/* ---- What upstream lacks ---- */

/* What kind of failure the last error of a node is. */
enum tailscale_error {
	TAILSCALE_ERR_NONE = 0,
	TAILSCALE_ERR_OTHER = 1,
	TAILSCALE_ERR_CLOSED = 2,   /* the node was closed meanwhile */
	TAILSCALE_ERR_CANCELED = 3, /* the caller gave up waiting */
	TAILSCALE_ERR_KEY = 4,      /* the control server does not accept the auth key */
	TAILSCALE_ERR_EXPIRED = 5,  /* the auth key or the node key has expired */
	TAILSCALE_ERR_LOGIN = 6,    /* login needed: tailscale_login_url says where */
	TAILSCALE_ERR_APPROVAL = 7, /* an admin must approve the device */
	TAILSCALE_ERR_CONTROL = 8,  /* the control server can't be reached */
	TAILSCALE_ERR_LOGGING = 9,  /* the tailnet requires log upload, which is left out */
	TAILSCALE_ERR_STATE = 10,   /* the state folder can't be used */
	TAILSCALE_ERR_EXCHANGE = 11 /* an OAuth client secret can't be exchanged for a key now */
};
extern int tailscale_errkind(tailscale sd);

/* More options; they must be set before the node starts. */
/* Tags to advertise, separated by commas: "tag:ai-server". */
extern int tailscale_set_tags(tailscale sd, const char *tags);
/* OAuth client secret from which an auth key is made; needs tags. */
extern int tailscale_set_client_secret(tailscale sd, const char *secret);
/* Whether to ask the router for a port (UPnP, NAT-PMP, PCP); off by default. */
extern int tailscale_set_port_mapping(tailscale sd, int enabled);
/* Whether a stored node is up by the netmap of an earlier day, if the tailnet had
 * it keep one (node attribute cache-network-maps), before the control server has
 * answered; off by default: who was taken out of the tailnet since is let in
 * until it has. */
extern int tailscale_set_start_offline(tailscale sd, int enabled);
/* Every line of the log goes to callback, from any thread; the line is valid
 * during the call only and is not NUL-terminated. The callback must not call
 * back into this library, unwind or block. It replaces tailscale_set_logfd. */
typedef void (*tailscale_log_fn)(void *context, const char *line, size_t len);
extern int tailscale_set_log_callback(tailscale sd, tailscale_log_fn callback, void *context);

/* Begins what tailscale_up does and returns at once. fd_out, non-blocking, turns
 * readable when it is over, after timeout_ms milliseconds at most, and carries
 * one line of JSON: {"kind": a tailscale_error, "error": in words, "login_url",
 * "status": as from tailscale_status, if kind is 0}. Unlike tailscale_up it is
 * over as soon as only a person can help. close() cancels. */
extern int tailscale_begin_up(tailscale sd, int64_t timeout_ms, int *fd_out);
/* Where somebody can log the node in; empty when no login is needed. EBADF, ERANGE. */
extern int tailscale_login_url(tailscale sd, char *buf, size_t buflen);
/* The node's own JSON: {"dns_name": "...", "addresses": ["100.64.0.1", ...],
 * "user" or "tags", "stored": whether it was in the state folder already,
 * "service_addresses": those of the Service that it hosts, "cert_domains": the
 * names for which it can have certificates}. EBADF, ERANGE. */
extern int tailscale_status(tailscale sd, char *buf, size_t buflen);

/* Sizes of the buffers below, the final NUL included. */
#define TAILSCALE_ADDR_MAX 64
#define TAILSCALE_IDENTITY_MAX 16385

/* A connection together with who is speaking. */
struct tailscale_accepted {
	uint64_t id;                     /* for tailscale_conn_*; never reused */
	char remote[TAILSCALE_ADDR_MAX]; /* the peer's "ip:port" in the tailnet */
	char local[TAILSCALE_ADDR_MAX];  /* ours */
	/* JSON: {"node", "stable_id", "user" or "tags", "os", "addresses"} */
	char identity[TAILSCALE_IDENTITY_MAX];
};

/* Accepts a connection with its identity in one call. A connection whose peer
 * can't be told never comes out. EBADF: the listener has ended. EAGAIN: none
 * waits and the listener was made non-blocking. Each connection must be released. */
extern int tailscale_accept_peer(tailscale_listener listener, struct tailscale_accepted *out);
/* As tailscale_dial; identity stays empty. */
extern int tailscale_dial_peer(tailscale sd, const char *network, const char *addr, struct tailscale_accepted *out);

/* What follows is for those. They are read and written past any descriptor, in the
 * calling thread and without waiting, where that is possible, and otherwise by one.
 * One thread at a time may read, and one may write. */

/* Says that a connection is read by tailscale_conn_read: ready is called with
 * context, on a thread that must not wait, whenever there is something to read after
 * there was nothing, until tailscale_conn_release returns. To be called once, before
 * anything is read. 0: this connection has to be read by its descriptor. */
typedef void (*tailscale_ready_fn)(void *context);
extern int tailscale_conn_watch(uint64_t id, tailscale_ready_fn ready, void *context);
/* Reads what there is into len > 0 bytes: how many came, and whether there are more;
 * 0 at the end, -EAGAIN for nothing yet, -ECONNRESET. */
extern ssize_t tailscale_conn_read(uint64_t id, void *buf, size_t len, int *more);
/* Takes bytes for the peer and returns how many: none where the way is not free, or
 * if they are many (more than 8 KiB); write them to the descriptor then. after: how
 * many bytes were ever written to it; none are taken until those have been passed
 * on, so that none are overtaken. */
extern size_t tailscale_conn_write(uint64_t id, const struct iovec *parts, int count, uint64_t after);
/* A non-blocking, close-on-exec descriptor for a connection that has none, for
 * writing and, unless that is watched, for reading. From then on its shutdown and its
 * close end the connection. -1: the connection is broken, or no descriptor is free. */
extern tailscale_conn tailscale_conn_descriptor(uint64_t id);
/* Ends our side of a connection without a descriptor. */
extern void tailscale_conn_shutdown(uint64_t id);
/* 1 if the connection was broken (reset) rather than ended, else 0. Ask when
 * read returns 0: a socketpair can't carry a reset everywhere. */
extern int tailscale_conn_was_reset(uint64_t id);
/* 1 if the peer has ended or broken its side, though bytes of it may still be
 * unread, else 0. For a program that does not read for the time being. */
extern int tailscale_conn_peer_left(uint64_t id);
/* Forgets a connection, whose descriptor is closed if it had one. With abort, the peer sees a
 * reset; otherwise it gets what was written and then the end. */
extern void tailscale_conn_release(uint64_t id, int abort);
/* Breaks a connection that is in use: reading and writing fail from now on, the
 * peer sees a reset. It must still be released. May be called for an id that
 * is released already. */
extern void tailscale_conn_abort(uint64_t id);

/* Has connections to the addresses of a Tailscale Service ("svc:name") at port go
 * to the listener on ":port" of the node, which must be up; tailscale_accepted
 * tells by its local address. A node hosts one Service, and none when it starts. */
extern int tailscale_host_service(tailscale sd, const char *name, uint16_t port);
/* Tells the tailnet whether clients of that Service may be led to this node.
 * Whoever comes nevertheless is accepted as before. Not so until it is told. */
extern int tailscale_advertise_service(tailscale sd, int on);

/* Writes the identity (JSON, as above) behind "ip:port" or "ip"; fails once its
 * key has expired. EBADF, ERANGE. */
extern int tailscale_whois(tailscale sd, const char *addr, char *buf, size_t buflen);
/* Whether the tailnet policy, as it stands now, lets the address src ("ip")
 * connect to dst ("ip:port", ours): 1 or 0. */
extern int tailscale_check_access(tailscale sd, const char *src, const char *dst);

/* Writes what the tailnet policy, as it stands now, grants src ("ip") at dst
 * ("ip:port", ours) under "app": {"name": [value, ...], ...}. EBADF, ERANGE. */
extern int tailscale_capabilities(tailscale sd, const char *src, const char *dst, char *buf, size_t buflen);

/* JSON of everybody in the netmap, with access to count TCP ports of ours and the
 * values granted under an app capability: [{"node", "stable_id", "user" or "tags",
 * "os", "online", "expired", "direct": the "ip:port" behind which it is reached
 * or "relay": what passes its packets on, while any flow, "addresses": [{"ip",
 * "at": an address of ours, the Service's included, "admitted": [the ports that it
 * may connect to there], "grants": [...]}, ...]}, ...]. NULL on failure; to be freed
 * with tailscale_free. */
extern char *tailscale_peers(tailscale sd, const uint16_t *ports, size_t count, const char *capability);
extern void tailscale_free(char *text);

/* Removes the variables from which tailscale's own library would take a key or a
 * secret (TS_AUTHKEY, TS_AUTH_KEY, TS_CLIENT_SECRET, TS_CLIENT_ID, TS_ID_TOKEN,
 * TS_AUDIENCE) from the environment. A node does so when it starts: keys come from
 * tailscale_set_authkey and tailscale_set_client_secret alone. C's environment has
 * no lock, so call this once the variables have been read, before other threads run. */
extern void tailscale_forget_credentials(void);

/* Ends a stored node whose handle has not started: tells the control server,
 * for at most timeout_ms milliseconds, and removes what is stored of it. JSON:
 * {"stored": whether there was one, "error": why the control server could not be
 * told}. NULL on failure; to be freed with tailscale_free. */
extern char *tailscale_logout(tailscale sd, int64_t timeout_ms);

/* The certificate for one of the node's "cert_domains", which the ACME server is
 * asked for unless a good one is stored: {"chain", "key": PEM, "issued", "expiry":
 * RFC 3339}. One that it is time to renew is renewed in the background, and comes
 * with a later call; one that is valid for less than at_least_ms milliseconds is
 * renewed first. Takes timeout_ms at most. NULL on failure; to be freed with
 * tailscale_free. */
extern char *tailscale_certificate(tailscale sd, const char *name, int64_t at_least_ms, int64_t timeout_ms);

/* A non-blocking descriptor with one JSON object per line for every change of
 * state, the present one first; close() ends it. "type" is one of
 *   state   "state": NeedsLogin, NeedsMachineAuth, Starting, Running, Stopped
 *   login   "login_url"
 *   name    "status": {"dns_name", "addresses", "service_addresses", "cert_domains"}
 *   key     "key_expiry": RFC 3339; absent when the key never expires
 *   health  "warnings": [...]: all that are now in force
 *   membership  "error": why the control server no longer knows the node; absent
 *           when it knows it again
 *   refused "error": why the peer of a connection can't be told, so that it was
 *           refused; once for each kind of reason
 *   clock   "ahead": seconds by which this machine's clock is ahead of the control
 *           server's (negative: behind) once that is more than five minutes;
 *           absent when it is right again
 *   netmap  the peers or the policy may have changed: ask again
 *   error   "kind": a tailscale_error, "error": in words; the node is of no use
 *           until somebody acts
 */
extern int tailscale_events(tailscale sd, int *fd_out);

#ifdef __cplusplus
}
#endif

#endif
