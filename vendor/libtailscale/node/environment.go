package node

import "os"

// credentialVariables are the environment variables from which tsnet would take
// what a node joins with by itself, whatever its AuthKey and ClientSecret say.
var credentialVariables = []string{
	"TS_AUTHKEY", "TS_AUTH_KEY", "TS_CLIENT_SECRET", "TS_CLIENT_ID", "TS_ID_TOKEN", "TS_AUDIENCE",
}

// ForgetCredentials removes them from the environment, C's as well as Go's own
// copy of it. A stored node must not offer a key that was withheld from it, and
// no child process needs one. What the system shows of the process's start, such
// as /proc/PID/environ on Linux, can't be changed.
//
// Every node does this before it starts. A program that reads these variables, or
// starts other programs, calls it once it has read them, while it has one thread:
// C's environment has no lock.
func ForgetCredentials() {
	for _, name := range credentialVariables {
		os.Unsetenv(name) // fails for a malformed name only
	}
}
