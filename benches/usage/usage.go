// Package usage reads the resource usage of processes.
package usage

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is the sum for several processes.
type Usage struct {
	CPU     time.Duration // since they started, user and system
	RSS     int64         // bytes
	Peak    int64         // the largest RSS so far, bytes
	Threads int64

	switches map[string]int64 // voluntary context switches since the start of each thread
}

// Of reads /proc and the processes' clocks, which only Linux has.
func Of(pids ...int) (sum Usage, err error) {
	sum.switches = map[string]int64{}
	for _, pid := range pids {
		cpu, err := cpu(pid)
		if err != nil {
			return sum, err
		}
		sum.CPU += cpu
		status, err := fields(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return sum, fmt.Errorf("read the usage of process %d: %w", pid, err)
		}
		sum.RSS += status["VmRSS"] << 10
		sum.Peak += status["VmHWM"] << 10
		sum.Threads += status["Threads"]
		if err := sum.addSwitches(pid); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// Switches returns the voluntary context switches since an earlier usage: how often a
// thread went to sleep. Those of a thread that ended in between are missing.
func (u Usage) Switches(since Usage) (n int64) {
	for thread, now := range u.switches {
		n += now - since.switches[thread]
	}
	return n
}

// addSwitches adds the context switches of a process. Its own status has those of its main
// thread only.
func (u *Usage) addSwitches(pid int) error {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(tasks)
	if err != nil {
		return err
	}
	for _, thread := range threads {
		status, err := fields(tasks + "/" + thread.Name() + "/status")
		if err != nil {
			continue // it has ended
		}
		u.switches[thread.Name()] = status["voluntary_ctxt_switches"]
	}
	return nil
}

// cpu reads the CPU clock of a process. /proc/PID/stat has steps of 10 ms, too coarse for
// one stream.
func cpu(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED; clock_getcpuclockid(3) composes the same number
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// fields returns the numbers of a status file of /proc.
func fields(path string) (map[string]int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err == nil {
			out[key] = n
		}
	}
	return out, nil
}
