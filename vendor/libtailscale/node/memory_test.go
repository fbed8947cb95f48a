package node

import "testing"

func TestThereIsRoomForACrowdAndItIsTidiedUpAfter(t *testing.T) {
	adapted, tidied := 0, 0
	g := gathering{room: few, adapt: func(int) { adapted++ }, tidy: func() { tidied++ }}
	come := func(from, to int) {
		for n := from; n <= to; n++ {
			if g.grew(n); g.room < n {
				t.Fatalf("room for %d of %d", g.room, n)
			}
		}
	}
	leave := func(from, to int) {
		for n := from; n >= to; n-- {
			if g.shrank(n); g.room < n {
				t.Fatalf("room for %d of %d", g.room, n)
			}
		}
	}
	for _, step := range []struct {
		do                    func()
		room, adapted, tidied int
	}{
		{func() { come(1, 16); leave(15, 0) }, 16, 0, 0},      // few
		{func() { come(1, 32); leave(31, 0) }, 16, 2, 0},      // no crowd
		{func() { come(1, 400); leave(399, 129) }, 512, 7, 0}, // most are still there
		{func() { leave(128, 90) }, 128, 8, 1},                // most have left
		{func() { leave(89, 0) }, 16, 10, 2},                  // and so have the rest
	} {
		step.do()
		if g.room != step.room || adapted != step.adapted || tidied != step.tidied {
			t.Fatalf("room for %d, adapted %d times, tidied %d times; want %+v", g.room, adapted, tidied, step)
		}
	}
}
