//go:build !linux

package node

import (
	"os"
	"testing"
)

// asOrdinaryUser runs f without the rights of root, whom no mode keeps out.
func asOrdinaryUser(t *testing.T, f func()) {
	if os.Geteuid() == 0 {
		t.Fatal("run this test as an ordinary user")
	}
	f()
}
