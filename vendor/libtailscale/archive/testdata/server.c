/* A server that uses what upstream lacks. usage: server CONTROL_URL DIR */
#include "tailscale.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static tailscale ts;
static volatile int lines_logged;

static void log_line(void *context, const char *line, size_t len) {
	(void)line;
	if (context == &lines_logged && len > 0)
		__atomic_add_fetch(&lines_logged, 1, __ATOMIC_RELAXED);
}

static int fail(const char *what) {
	char why[512];
	tailscale_errmsg(ts, why, sizeof why);
	printf("%s: kind %d: %s\n", what, tailscale_errkind(ts), why);
	return 1;
}

static int wait_readable(int fd) {
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, 60000) == 1;
}

int main(int argc, char **argv) {
	static char text[TAILSCALE_IDENTITY_MAX];
	static struct tailscale_accepted a;
	if (argc != 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	ts = tailscale_new();
	if (tailscale_set_control_url(ts, argv[1]) || tailscale_set_dir(ts, argv[2]) ||
	    tailscale_set_hostname(ts, "server") || tailscale_set_tags(ts, "tag:server") ||
	    tailscale_set_client_secret(ts, "") || tailscale_set_port_mapping(ts, 0) ||
	    tailscale_set_log_callback(ts, log_line, (void *)&lines_logged))
		return fail("set");
	int up, events;
	if (tailscale_begin_up(ts, 60000, &up) || !wait_readable(up))
		return fail("begin_up");
	ssize_t n = read(up, text, sizeof text - 1);
	close(up);
	if (n < 0)
		return fail("read the outcome");
	text[n] = 0;
	printf("%s", text);
	if (tailscale_events(ts, &events) || !wait_readable(events))
		return fail("events");
	close(events);
	if (tailscale_status(ts, text, sizeof text))
		return fail("status");
	printf("%s\n", text);
	tailscale_listener ln;
	if (tailscale_listen(ts, "tcp", ":4711", &ln))
		return fail("listen");
	if (!(fcntl(ln, F_GETFD) & FD_CLOEXEC))
		return fail("the listener is inherited by children");
	fcntl(ln, F_SETFL, O_NONBLOCK);
	if (tailscale_accept_peer(ln, &a) != EAGAIN)
		return fail("accept with nobody waiting");
	printf("ready\n");
	if (!wait_readable(ln) || tailscale_accept_peer(ln, &a))
		return fail("accept");
	int conn = tailscale_conn_descriptor(a.id);
	if (conn < 0 || tailscale_conn_descriptor(a.id) != -1)
		return fail("one descriptor for a connection");
	if (!(fcntl(conn, F_GETFD) & FD_CLOEXEC) || !(fcntl(conn, F_GETFL) & O_NONBLOCK))
		return fail("the connection's descriptor");
	printf("%s %s %s\n", a.remote, a.local, a.identity);
	if (tailscale_whois(ts, a.remote, text, sizeof text) || strcmp(text, a.identity) != 0)
		return fail("whois");
	char ip[TAILSCALE_ADDR_MAX];
	strcpy(ip, a.remote);
	*strrchr(ip, ':') = 0;
	if (tailscale_check_access(ts, ip, a.local) != 1)
		return fail("check_access");
	if (tailscale_capabilities(ts, ip, a.local, text, sizeof text))
		return fail("capabilities");
	printf("%s\n", text);
	if (tailscale_conn_was_reset(a.id))
		return fail("not reset yet");
	tailscale_conn_abort(a.id);
	if (!wait_readable(conn) || !tailscale_conn_was_reset(a.id))
		return fail("reset");
	close(conn);
	tailscale_conn_release(a.id, 0);
	/* Errors. */
	if (tailscale_whois(ts, "100.99.99.99", text, sizeof text) != -1 || tailscale_errkind(ts) != TAILSCALE_ERR_OTHER)
		return fail("whois of nobody");
	if (tailscale_set_tags(ts, "tag:late") != -1)
		return fail("an option that is set too late");
	close(ln);
	if (lines_logged == 0)
		return fail("log");
	if (tailscale_close(ts))
		return fail("close");
	if (tailscale_up(ts) != EBADF || tailscale_errmsg(ts, text, sizeof text) != EBADF ||
	    tailscale_errkind(ts) != TAILSCALE_ERR_CLOSED || tailscale_getips(ts, text, sizeof text) != EBADF)
		return fail("a closed node");
	printf("bye\n");
	return 0;
}
