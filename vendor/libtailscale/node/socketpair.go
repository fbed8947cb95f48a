package node

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketpair makes a pair of connected stream sockets, non-blocking and close-on-exec.
// Our end uses the runtime's poller, so that goroutines wait on it and not threads.
func socketpair() (ours *os.File, theirs int, err error) {
	// macOS has no SOCK_CLOEXEC, so hold the fork lock until the flag is set.
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	err = unix.SetNonblock(fds[0], true)
	if err == nil {
		err = unix.SetNonblock(fds[1], true)
	}
	if err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, -1, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "socketpair"), fds[1], nil
}

// awaitHangup waits until the other end of a socketpair is closed, not only shut down
// for writing, or file itself is closed.
func awaitHangup(file *os.File) {
	raw, err := file.SyscallConn()
	if err != nil {
		return
	}
	// A close after a shutdown is another event for the poller, which then calls this
	// function again.
	raw.Read(func(fd uintptr) bool { return hungUpFD(int(fd)) })
}

// hungUp reports whether the other end of a socketpair is closed. It is true if file
// itself is closed.
func hungUp(file *os.File) bool {
	raw, err := file.SyscallConn()
	if err != nil {
		return true
	}
	closed := true
	raw.Control(func(fd uintptr) { closed = hungUpFD(int(fd)) }) // fails if file is closed
	return closed
}

func hungUpFD(fd int) bool {
	// Linux always reports POLLHUP once both directions have ended. macOS and FreeBSD
	// report it for the requested direction: writing ends only when the other end is
	// closed.
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	unix.Poll(fds, 0)
	return fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}
