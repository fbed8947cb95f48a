// Package usage reads the resource usage of processes.
package usage

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is the sum for several processes.
type Usage struct {
	CPU     time.Duration // since they started, user and system; in steps of 10 ms
	RSS     int64         // bytes
	Peak    int64         // the largest RSS so far, bytes
	Threads int64
}

// Of reads /proc, which only Linux has.
func Of(pids ...int) (sum Usage, err error) {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return sum, fmt.Errorf("read the usage of process %d (needs Linux): %w", pid, err)
		}
		// proc_pid_stat(5): the name may contain anything, so count from its end.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		const utime, stime, tick = 11, 12, 10 * time.Millisecond
		for _, i := range []int{utime, stime} {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return sum, err
			}
			sum.CPU += time.Duration(n) * tick
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return sum, err
		}
		for line := range strings.Lines(string(status)) {
			key, value, _ := strings.Cut(line, ":")
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			switch key {
			case "VmRSS":
				sum.RSS += n << 10
			case "VmHWM":
				sum.Peak += n << 10
			case "Threads":
				sum.Threads += n
			}
		}
	}
	return sum, nil
}
