package node

import (
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// Programs written for upstream's interface know connections by descriptor
// only. Descriptor numbers are reused, so an entry also has the identity of the
// socket behind the number; a number that now names something else is no match.

type plainConn struct {
	conn     *Conn
	dev, ino uint64
}

var plain sync.Map // descriptor number → plainConn

// ClaimPlain claims the connection with this id, returns its descriptor and keeps
// it findable by that until it ends; nothing needs to be released. It fails for a
// connection that was broken while it waited, and breaks one that can't be had.
func ClaimPlain(id uint64) (fd int, err error) {
	conn := Claim(id)
	if conn == nil {
		return -1, errClosed()
	}
	if fd, err = Descriptor(id); err != nil {
		Release(id, true)
		return -1, err
	}
	defer Release(id, false)
	dev, ino, err := socketID(fd)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	entry := plainConn{conn, dev, ino}
	conns.mu.Lock()
	defer conns.mu.Unlock()
	if !conn.over {
		plain.Store(fd, entry)
		conn.after = func() { plain.CompareAndDelete(fd, entry) }
	}
	return fd, nil
}

// RemoteOf returns the peer's address for the descriptor of an open connection.
func RemoteOf(fd int) (netip.AddrPort, bool) {
	found, ok := plain.Load(fd)
	if !ok {
		return netip.AddrPort{}, false
	}
	entry := found.(plainConn)
	dev, ino, err := socketID(fd)
	if err != nil || dev != entry.dev || ino != entry.ino {
		return netip.AddrPort{}, false
	}
	return entry.conn.Remote, true
}

func socketID(fd int) (dev, ino uint64, err error) {
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return uint64(st.Dev), uint64(st.Ino), err
}
