package node

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// asOrdinaryUser runs f without the rights of root, whom no mode keeps out.
func asOrdinaryUser(t *testing.T, f func()) {
	if os.Geteuid() == 0 {
		const nobody = 65534
		// Of this thread alone, which therefore is not used again.
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread()
			if err := unix.Setfsuid(nobody); err != nil {
				t.Error(err)
				return
			}
			f()
		}()
		<-done
		return
	}
	f()
}
