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

// ClaimPlain claims the connection with this id and keeps it findable by its
// descriptor until it ends; nothing needs to be released. It reports false for
// a connection that was broken while it waited.
func ClaimPlain(id uint64, fd int) bool {
	conn := Claim(id)
	if conn == nil {
		return false
	}
	defer Release(id, false)
	dev, ino, err := socketID(fd)
	if err != nil {
		return false
	}
	entry := plainConn{conn, dev, ino}
	conns.mu.Lock()
	defer conns.mu.Unlock()
	if !conn.over {
		plain.Store(fd, entry)
		conn.after = func() { plain.CompareAndDelete(fd, entry) }
	}
	return true
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
