package node

import "os"

// credentialVariables are the environment variables from which tsnet reads credentials
// on its own, whatever its AuthKey and ClientSecret say.
var credentialVariables = []string{
	"TS_AUTHKEY", "TS_AUTH_KEY", "TS_CLIENT_SECRET", "TS_CLIENT_ID", "TS_ID_TOKEN", "TS_AUDIENCE",
}

// ForgetCredentials removes credentialVariables from the environment of the process,
// both C's and Go's copy. A stored node must not offer a key that was withheld from it,
// and no child process needs one. The system's record of the process's start, such as
// /proc/PID/environ on Linux, can't be changed.
//
// Every node calls it before it starts. A program that reads these variables or starts
// other programs calls it after reading them, while it has one thread: C's environment
// has no lock.
func ForgetCredentials() {
	for _, name := range credentialVariables {
		os.Unsetenv(name) // fails only for a malformed name
	}
}
