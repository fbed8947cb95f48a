package node

import "testing"

func TestCrowdIsTidiedUpAfter(t *testing.T) {
	tidied := 0
	g := gathering{after: func(f func()) { f() }, tidy: func() { tidied++ }}
	come := func(from, to int) {
		for n := from; n <= to; n++ {
			g.grew(n)
		}
	}
	leave := func(from, to int) {
		for n := from; n >= to; n-- {
			g.shrank(n)
		}
	}
	for _, step := range []struct {
		do   func()
		want int
	}{
		{func() { come(1, 63); leave(62, 0) }, 0},     // too few to matter
		{func() { come(1, 400); leave(399, 101) }, 0}, // most are still there
		{func() { leave(100, 80) }, 1},                // most have left: once
		{func() { leave(79, 0) }, 2},                  // and so have the rest
		{func() { come(1, 64); leave(63, 0) }, 3},
	} {
		if step.do(); tidied != step.want {
			t.Fatalf("tidied %d times, want %d", tidied, step.want)
		}
	}
}
