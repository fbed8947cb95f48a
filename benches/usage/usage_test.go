package usage

import (
	"os"
	"testing"
	"time"
)

func TestSleepsOfEachThreadCount(t *testing.T) {
	before := own(t)
	const sleeps = 50
	for range sleeps {
		time.Sleep(time.Millisecond)
	}
	after := own(t)
	if n := after.Switches(before); n < sleeps {
		t.Errorf("%d switches in %d sleeps", n, sleeps)
	}
	if n := after.Switches(after); n != 0 {
		t.Errorf("%d switches in no time", n)
	}
	if after.Threads < 1 || after.RSS == 0 || after.Peak < after.RSS {
		t.Errorf("%+v", after)
	}
}

// The steps of /proc/PID/stat would hide what one stream costs.
func TestCPUTimeIsFinerThanATick(t *testing.T) {
	before := own(t)
	for begun := time.Now(); time.Since(begun) < time.Millisecond; {
	}
	after := own(t)
	spent, busiest := after.CPU-before.CPU, after.Busiest(before)
	if spent <= 0 || spent%(10*time.Millisecond) == 0 || busiest <= 0 {
		t.Errorf("spent %v, %v of it on one thread", spent, busiest)
	}
}

func own(t *testing.T) Usage {
	u, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return u
}
