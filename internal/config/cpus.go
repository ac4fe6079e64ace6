package config

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// CPUs is the number of CPUs that this process may keep busy, at least 1: those
// of its affinity mask, and no more than its cgroup's quota rounded up.
func CPUs() int { return int(math.Ceil(CPULimit())) }

// CPULimit is the CPU time that this process and its children may take of each second, in CPUs.
func CPULimit() float64 {
	n := float64(runtime.NumCPU()) // honours sched_getaffinity(2), not the quota
	if quota := cgroupQuota(os.DirFS("/")); quota > 0 {
		n = min(n, quota)
	}
	return n
}

// cgroupQuota is the smallest CPU quota of this process's cgroup and those
// above it, in CPUs; 0 when there is none. root is the file system's root.
func cgroupQuota(root fs.FS) float64 {
	lowest := 0.0
	eachCgroup(root, "cpu", func(dir string, v2 bool) {
		read := quotaV1
		if v2 {
			read = quotaV2
		}
		if q := read(root, dir); q > 0 && (lowest == 0 || q < lowest) {
			lowest = q
		}
	})
	return lowest
}

// quotaV2 reads cpu.max: "$MAX $PERIOD" in microseconds, $MAX may be "max".
func quotaV2(root fs.FS, dir string) float64 {
	data, err := fs.ReadFile(root, path.Join(dir, "cpu.max"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) != 2 {
		return 0
	}
	return quotient(fields[0], fields[1])
}

func quotaV1(root fs.FS, dir string) float64 {
	quota, err := fs.ReadFile(root, path.Join(dir, "cpu.cfs_quota_us"))
	if err != nil {
		return 0
	}
	period, err := fs.ReadFile(root, path.Join(dir, "cpu.cfs_period_us"))
	if err != nil {
		return 0
	}
	return quotient(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
}

// quotient is 0 for what is not two positive numbers, such as the "max" and the
// -1 that stand for no quota.
func quotient(quota, period string) float64 {
	q, err := strconv.ParseUint(quota, 10, 32)
	if err != nil {
		return 0
	}
	p, err := strconv.ParseUint(period, 10, 32)
	if err != nil || p == 0 {
		return 0
	}
	return float64(q) / float64(p)
}
