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

	threads map[string]thread // by id
}

// thread is the usage of one thread since its start.
type thread struct {
	cpu      time.Duration
	switches int64 // voluntary context switches
}

// Of reads /proc and the processes' clocks, which only Linux has.
func Of(pids ...int) (sum Usage, err error) {
	sum.threads = map[string]thread{}
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
		if err := sum.addThreads(pid); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// Switches returns the voluntary context switches since an earlier usage: how often a
// thread went to sleep. Those of a thread that ended in between are missing.
func (u Usage) Switches(since Usage) (n int64) {
	for id, now := range u.threads {
		n += now.switches - since.threads[id].switches
	}
	return n
}

// Busiest returns the CPU time since an earlier usage of the thread that used most. It
// bounds what a program can do on many cores if it does some of its work on one thread.
func (u Usage) Busiest(since Usage) (cpu time.Duration) {
	for id, now := range u.threads {
		cpu = max(cpu, now.cpu-since.threads[id].cpu)
	}
	return cpu
}

// addThreads adds the threads of a process.
func (u *Usage) addThreads(pid int) error {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(tasks)
	if err != nil {
		return err
	}
	for _, entry := range threads {
		id := entry.Name()
		status, err := fields(tasks + "/" + id + "/status")
		if err != nil {
			continue // it has ended
		}
		cpu, err := onCPU(tasks + "/" + id + "/schedstat")
		if err != nil {
			continue
		}
		u.threads[id] = thread{cpu: cpu, switches: status["voluntary_ctxt_switches"]}
	}
	return nil
}

// onCPU reads the first number of a schedstat file, the CPU time in nanoseconds.
func onCPU(path string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	n, err := strconv.ParseInt(first, 10, 64)
	return time.Duration(n), err
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
