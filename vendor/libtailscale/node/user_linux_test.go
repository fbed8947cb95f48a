package node

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// asOrdinaryUser runs f without the privileges of root, which override file modes.
func asOrdinaryUser(t *testing.T, f func()) {
	if os.Geteuid() == 0 {
		const nobody = 65534
		// Applies to this thread, which ends with the goroutine because it stays locked.
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
