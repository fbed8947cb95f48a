package load

import (
	"fmt"
	"io"
	"time"
)

// Download reads an answer of this many bytes and returns the duration.
func Download(dial Dial, size int64) (time.Duration, error) {
	c, err := openOne(dial, transferPatience)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	begun := time.Now()
	h, err := c.send(request("GET", fmt.Sprintf("/api/version?bytes=%d", size), 0))
	if err != nil {
		return 0, err
	}
	if h.length != size {
		return 0, fmt.Errorf("the answer has %d bytes instead of %d", h.length, size)
	}
	// Bypass the reader for what it has not buffered.
	left := size - int64(c.in.Buffered())
	c.in.Discard(c.in.Buffered())
	for block := make([]byte, 256<<10); left > 0; {
		n, err := c.Read(block[:min(int64(len(block)), left)])
		if left -= int64(n); err != nil && left > 0 {
			return 0, fmt.Errorf("%d bytes before the end of %d: %w", left, size, err)
		}
	}
	return time.Since(begun), nil
}

// Upload sends a body of this many bytes and returns the duration, including the answer.
func Upload(dial Dial, size int64) (time.Duration, error) {
	c, err := openOne(dial, transferPatience)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	begun := time.Now()
	if _, err := c.Write(request("POST", "/v1/responses", size)); err != nil {
		return 0, err
	}
	for left, block := size, make([]byte, 256<<10); left > 0; left -= int64(len(block)) {
		if _, err := c.Write(block[:min(int64(len(block)), left)]); err != nil {
			return 0, fmt.Errorf("%d bytes before the end of %d: %w", left, size, err)
		}
	}
	h, err := c.head(begun)
	if err != nil {
		return 0, err
	}
	_, err = io.CopyN(io.Discard, c.in, max(0, h.length))
	return time.Since(begun), err
}
