package node

import (
	"io"
	"sync"
)

const (
	smallBuffer = 2 << 10  // bytes, held while idle
	largeBuffer = 64 << 10 // bytes, borrowed while busy
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// pump copies from src to dst until one of them fails. It reads into a small buffer, and
// borrows a large one only while reads fill the buffer, so that idle connections stay
// cheap.
func pump(dst io.Writer, src io.Reader) (readErr, writeErr error) {
	small := make([]byte, smallBuffer)
	buf := small
	var large *[largeBuffer]byte
	defer func() {
		if large != nil {
			largeBuffers.Put(large)
		}
	}()
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return nil, err
			}
		}
		if err != nil {
			return err, nil
		}
		switch {
		case large == nil && n == smallBuffer:
			large = largeBuffers.Get().(*[largeBuffer]byte)
			buf = large[:]
		case large != nil && n < smallBuffer:
			largeBuffers.Put(large)
			large, buf = nil, small
		}
	}
}
