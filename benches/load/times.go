package load

import (
	"slices"
	"time"
)

// Times are durations that were measured, in nanoseconds.
type Times []int64

// Quantile returns the duration within which the part q (0 to 1) of them is;
// NaN-free: of none it is 0.
func (t Times) Quantile(q float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	return time.Duration(t[min(len(t)-1, int(q*float64(len(t))))])
}

// join puts the times of several goroutines in order.
func join(parts []Times) Times {
	all := slices.Concat(parts...)
	slices.Sort(all)
	return all
}
