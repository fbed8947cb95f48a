package node

import "testing"

func TestCapacityFollowsOpenConnections(t *testing.T) {
	resized, scavenged := 0, 0
	c := capacity{conns: minCapacity, resize: func(int) { resized++ }, scavenge: func() { scavenged++ }}
	open := func(from, to int) {
		for n := from; n <= to; n++ {
			if c.grow(n); c.conns < n {
				t.Fatalf("capacity for %d of %d", c.conns, n)
			}
		}
	}
	closed := func(from, to int) {
		for n := from; n >= to; n-- {
			if c.shrink(n); c.conns < n {
				t.Fatalf("capacity for %d of %d", c.conns, n)
			}
		}
	}
	for _, step := range []struct {
		do                           func()
		capacity, resized, scavenged int
	}{
		{func() { open(1, 16); closed(15, 0) }, 16, 0, 0},      // within minCapacity
		{func() { open(1, 32); closed(31, 0) }, 16, 2, 0},      // below scavengeMinimum
		{func() { open(1, 400); closed(399, 129) }, 512, 7, 0}, // more than a quarter is open
		{func() { closed(128, 90) }, 128, 8, 1},                // a quarter is open
		{func() { closed(89, 0) }, 16, 10, 2},                  // none is open
	} {
		step.do()
		if c.conns != step.capacity || resized != step.resized || scavenged != step.scavenged {
			t.Fatalf("capacity %d, resized %d times, scavenged %d times; want %+v", c.conns, resized, scavenged, step)
		}
	}
}
