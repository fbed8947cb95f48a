package node

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketpair makes a pair of connected stream sockets, non-blocking and
// close-on-exec. Our end goes through the runtime's poller, so that goroutines
// wait on it and not threads.
func socketpair() (ours *os.File, theirs int, err error) {
	// macOS has no SOCK_CLOEXEC: hold the fork lock until the flag is set.
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

// control runs f with the descriptor of file, which stays open meanwhile.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

// closeWrite tells the other end of a socketpair that no more bytes come.
func closeWrite(file *os.File) error {
	return control(file, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

// awaitHangup waits until the other end of a socketpair is closed altogether,
// not only for writing, or file itself is closed.
func awaitHangup(file *os.File) {
	raw, err := file.SyscallConn()
	if err != nil {
		return
	}
	// A close after a shutdown is one more event for the poller, which has this
	// called again.
	raw.Read(func(fd uintptr) bool { return hungUpFD(int(fd)) })
}

// hungUp reports whether the other end of a socketpair is closed altogether.
func hungUp(file *os.File) bool {
	gone := true // a closed file has nobody at its other end
	control(file, func(fd int) error {
		gone = hungUpFD(fd)
		return nil
	})
	return gone
}

func hungUpFD(fd int) bool {
	// Linux reports POLLHUP unasked, once both directions have ended. macOS and
	// FreeBSD report it for the direction asked about: writing ends only when
	// nobody is left to read.
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	unix.Poll(fds, 0)
	return fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}
