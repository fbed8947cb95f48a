package load

import (
	"slices"
	"time"
)

// Times are measured durations, in nanoseconds.
type Times []int64

// Quantile returns the quantile q (0 to 1); 0 for no times.
func (t Times) Quantile(q float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	return time.Duration(t[min(len(t)-1, int(q*float64(len(t))))])
}

// join sorts the times of several goroutines.
func join(parts []Times) Times {
	all := slices.Concat(parts...)
	slices.Sort(all)
	return all
}
