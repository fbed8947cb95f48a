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

// ClaimPlain keeps the connection findable by its descriptor until it ends.
// Nothing needs to be released.
func ClaimPlain(id uint64, fd int) {
	conn := Claim(id)
	if conn == nil {
		return
	}
	conns.Delete(id)
	dev, ino, err := socketID(fd)
	if err != nil {
		return
	}
	entry := plainConn{conn, dev, ino}
	plain.Store(fd, entry)
	go func() {
		<-conn.ended
		plain.CompareAndDelete(fd, entry)
	}()
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
