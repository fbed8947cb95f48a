/*
 * A tailnet node for a program that is not written in Go. The addresses, ports and
 * connections of the node exist in the tailnet only: no function opens a listener of
 * the operating system.
 *
 * Conventions:
 * - Any function may be called from any thread.
 * - Strings are NUL-terminated UTF-8, and durations are milliseconds.
 * - A function with a failure parameter sets it to NULL on success. Otherwise it sets
 *   it to JSON, {"kind": a tailscale_error, "error": text}, and has no other effect on
 *   its output.
 * - The caller frees each string that it gets with tailscale_free.
 * - A descriptor belongs to the caller. It is non-blocking and close-on-exec.
 */
#ifndef TAILSCALE_H
#define TAILSCALE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* ---- Failures ---- */

enum tailscale_error {
	TAILSCALE_ERR_NONE = 0,
	TAILSCALE_ERR_OTHER = 1,
	TAILSCALE_ERR_CLOSED = 2,   /* the node is closed */
	TAILSCALE_ERR_CANCELED = 3, /* the caller cancelled */
	TAILSCALE_ERR_KEY = 4,      /* the control server rejects the auth key */
	TAILSCALE_ERR_EXPIRED = 5,  /* the auth key or the node key has expired */
	TAILSCALE_ERR_LOGIN = 6,    /* a user must log the node in */
	TAILSCALE_ERR_APPROVAL = 7, /* an admin must approve the device */
	TAILSCALE_ERR_CONTROL = 8,  /* the control server is unreachable */
	TAILSCALE_ERR_LOGGING = 9,  /* the tailnet requires log upload, which is not compiled in */
	TAILSCALE_ERR_STATE = 10,   /* the state folder is unusable */
	TAILSCALE_ERR_EXCHANGE = 11 /* the exchange of the OAuth client secret failed and may be retried */
};

/* ---- The node ---- */

/* A handle of a node, never reused. */
typedef int tailscale;

/* Receives one line of the log, without a NUL, on any thread. The line is valid during
 * the call. The callback must not block, unwind or call this library. */
typedef void (*tailscale_log_fn)(void *context, const char *line, size_t len);

/* Makes a node. It uses the network once tailscale_begin_up is called. config is JSON;
 * every field is optional:
 *   dir            state folder; made with mode 0700 if absent
 *   hostname       wanted name in the tailnet
 *   auth_key       used only while the state folder holds no node
 *   client_secret  OAuth client secret that is exchanged for an auth key; needs tags
 *   control_url    control server; Tailscale's own by default
 *   tags           array of tags to advertise, such as "tag:ai-server"
 *   ephemeral      the tailnet removes the node when it goes offline
 *   port_mapping   ask the router for a port (UPnP, NAT-PMP, PCP)
 *   start_offline  come up with a cached netmap before the control server has
 *                  answered. Peers that were removed since are admitted until then. */
extern tailscale tailscale_new(const char *config, tailscale_log_fn log, void *context, char **failure);

/* Stops the node. Its open connections are reset, and its listeners and events end.
 * Connections that were closed before get up to 1 s to deliver their data. */
extern void tailscale_close(tailscale sd, char **failure);

/* Starts the node and returns a descriptor. It carries one line of JSON when the node
 * is up, when only a user can help, or after timeout_ms: {"kind", "error", "login_url",
 * "status"}, with a status if kind is 0. close() cancels. A status is
 *   dns_name           MagicDNS name; empty without MagicDNS
 *   addresses          tailnet addresses
 *   user or tags       the owner
 *   stored             the node was in the state folder already
 *   service_addresses  addresses of the hosted Service
 *   cert_domains       names for which the node can get certificates
 *   magic_dns          whether node names resolve in the tailnet */
extern int tailscale_begin_up(tailscale sd, int64_t timeout_ms, char **failure);

/* Returns a descriptor that carries one line of JSON for each change, and first the
 * current state. close() ends it. "type" is one of
 *   state       "state": NeedsLogin, NeedsMachineAuth, Starting, Running, Stopped
 *   login       "login_url"
 *   name        "status", as above
 *   key         "key_expiry": RFC 3339; absent if the key never expires
 *   health      "warnings": all current warnings
 *   membership  "error": why the control server no longer knows the node; absent once
 *               it knows the node again
 *   refused     "error": why the peer of a connection could not be identified; each
 *               kind of reason once
 *   clock       "ahead": seconds by which the local clock is ahead of the control
 *               server's, negative if behind; absent if within 5 minutes
 *   netmap      peers or the policy may have changed
 *   error       "kind", "error": the node is unusable until the operator acts */
extern int tailscale_events(tailscale sd, char **failure);

/* Removes the node of a state folder. The handle must not have started. It tells the
 * control server, for at most timeout_ms, and removes the stored state in any case.
 * JSON: {"stored": whether there was a node, "error": why the control server was not
 * told}. */
extern char *tailscale_logout(tailscale sd, int64_t timeout_ms, char **failure);

/* Returns the certificate for one of the cert_domains: the stored one, or a new one
 * from the ACME server. JSON: {"chain", "key": PEM, "issued", "expiry": RFC 3339}. A
 * certificate that is due for renewal is renewed in the background, for a later call;
 * one that is valid for less than at_least_ms is renewed first. */
extern char *tailscale_certificate(tailscale sd, const char *name, int64_t at_least_ms, int64_t timeout_ms, char **failure);

/* Removes the variables from which tsnet reads credentials (TS_AUTHKEY, TS_AUTH_KEY,
 * TS_CLIENT_SECRET, TS_CLIENT_ID, TS_ID_TOKEN, TS_AUDIENCE) from the environment.
 * The environment of C has no lock: call this before other threads run. */
extern void tailscale_forget_credentials(void);

extern void tailscale_free(char *text);

/* ---- Peers and rights ---- */

/* Whether the current policy lets src ("ip") connect to dst ("ip:port" of the node):
 * 1 or 0. */
extern int tailscale_check_access(tailscale sd, const char *src, const char *dst, char **failure);

/* The app capabilities that the current policy grants src ("ip") at dst ("ip:port" of
 * the node). JSON: {"name": [value, ...], ...}. */
extern char *tailscale_capabilities(tailscale sd, const char *src, const char *dst, char **failure);

/* All peers of the netmap, with their access to count TCP ports and the values of one
 * app capability. JSON: [{"node", "stable_id", "user" or "tags", "os", "online",
 * "expired", "direct": "ip:port" of the current path, "relay": or what relays it,
 * "addresses": [{"ip", "at": an address of the node or its Service, "admitted": [port,
 * ...], "grants": [value, ...]}, ...]}, ...]. */
extern char *tailscale_peers(tailscale sd, const uint16_t *ports, size_t count, const char *capability, char **failure);

/* ---- Listeners and Services ---- */

/* Listens on a TCP port of the node's addresses. Every 8 bytes on the descriptor,
 * little-endian, are the id of a connection, for tailscale_conn_claim. Up to 1024
 * connections wait; more are reset. close() ends the listener and resets those. */
extern int tailscale_listen(tailscale sd, uint16_t port, char **failure);

/* Delivers connections to port at the addresses of a Tailscale Service ("svc:name") to
 * the listener on that port. The node must be up. It hosts at most one Service, and
 * none when it starts. */
extern void tailscale_host_service(tailscale sd, const char *name, uint16_t port, char **failure);

/* Starts or stops advertising the Service. Off until the first call. Connections that
 * arrive while it is off are still accepted. */
extern void tailscale_advertise_service(tailscale sd, int on, char **failure);

/* ---- Connections ----
 *
 * Reads and writes go to the network stack in the calling thread and never block. Data
 * that the stack has no room for goes through a descriptor. At most one thread reads a
 * connection at a time, and at most one writes it. */

/* Claims a connection of a listener; tailscale_conn_release must follow. JSON:
 * {"remote", "local": "ip:port", "node", "stable_id", "user" or "tags", "os"}. NULL if
 * the connection was reset while it waited. */
extern char *tailscale_conn_claim(uint64_t id);

/* Sets the callback for readiness. Call it once, before the first read. ready runs on a
 * thread that must not block, when data or the end arrives after a read returned
 * -EAGAIN, until tailscale_conn_release returns. */
typedef void (*tailscale_ready_fn)(void *context);
extern void tailscale_conn_on_readable(uint64_t id, tailscale_ready_fn ready, void *context);

/* Reads up to len > 0 bytes. Returns their number, 0 at the end, -EAGAIN or
 * -ECONNRESET. Sets more to 1 if another read may succeed at once. */
extern ssize_t tailscale_conn_read(uint64_t id, void *buf, size_t len, int *more);

/* Writes without blocking and returns the number of bytes taken: 0 under backpressure
 * or if there are more than 8 KiB; write those to the descriptor. streamed is the number
 * of bytes ever written to the descriptor. The result is 0 until the node has passed
 * them on, which keeps the order. */
extern size_t tailscale_conn_write(uint64_t id, const struct iovec *parts, int count, uint64_t streamed);

/* Returns a descriptor to write to, once for each connection. From then on its shutdown
 * and close end the connection. -1: the connection was reset, or the process is out of
 * descriptors. */
extern int tailscale_conn_descriptor(uint64_t id);

/* Half-closes a connection without a descriptor. */
extern void tailscale_conn_shutdown(uint64_t id);

/* 1 if the peer has half-closed or reset the connection, even if data is unread. */
extern int tailscale_conn_peer_closed(uint64_t id);

/* Resets a connection. It must still be released. An unknown id is ignored. */
extern void tailscale_conn_abort(uint64_t id);

/* Releases a connection. Without abort, the peer gets the pending data and the end; with
 * abort, a reset. */
extern void tailscale_conn_release(uint64_t id, int abort);

#endif
