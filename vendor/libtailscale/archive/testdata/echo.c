/* An echo server as a user of upstream's libtailscale would write it: nothing
 * here is of our own interface. usage: echo CONTROL_URL DIR */
#include "tailscale.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int fail(tailscale ts, const char *what) {
	char why[512];
	tailscale_errmsg(ts, why, sizeof why);
	printf("%s: %s\n", what, why);
	return 1;
}

int main(int argc, char **argv) {
	char text[512];
	if (argc != 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	tailscale ts = tailscale_new();
	if (tailscale_set_control_url(ts, argv[1]) || tailscale_set_dir(ts, argv[2]) ||
	    tailscale_set_hostname(ts, "echo") || tailscale_set_authkey(ts, "") ||
	    tailscale_set_ephemeral(ts, 1) || tailscale_set_logfd(ts, -1))
		return fail(ts, "set");
	if (tailscale_start(ts) || tailscale_up(ts))
		return fail(ts, "up");
	if (tailscale_getips(ts, text, 4) == 0)
		return fail(ts, "getips with a small buffer");
	if (tailscale_getips(ts, text, sizeof text))
		return fail(ts, "getips");
	tailscale_listener ln;
	if (tailscale_listen(ts, "tcp", ":1999", &ln))
		return fail(ts, "listen");
	printf("%s\n", text);
	for (;;) {
		tailscale_conn conn;
		ssize_t n;
		if (tailscale_accept(ln, &conn))
			return fail(ts, "accept");
		if (tailscale_getremoteaddr(ln, conn, text, sizeof text))
			return fail(ts, "getremoteaddr");
		printf("%s\n", text);
		int quit = 0;
		while ((n = read(conn, text, sizeof text)) > 0) {
			quit = n == 4 && memcmp(text, "quit", 4) == 0;
			if (write(conn, text, n) != n)
				return fail(ts, "write");
		}
		close(conn);
		if (quit)
			break;
	}
	close(ln);
	if (tailscale_close(ts) != 0 || tailscale_close(ts) == 0)
		return fail(ts, "close");
	printf("bye\n");
	return 0;
}
