package config

import (
	"runtime"
	"testing"
	"testing/fstest"
)

func TestCgroupQuota(t *testing.T) {
	f := func(name string, files map[string]string, want float64) {
		t.Helper()
		root := fstest.MapFS{}
		for file, content := range files {
			root[file] = &fstest.MapFile{Data: []byte(content)}
		}
		if got := cgroupQuota(root); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	const self, v2 = "proc/self/cgroup", "sys/fs/cgroup/"
	f("no cgroups", nil, 0)
	f("v2 in a container", map[string]string{self: "0::/\n", v2 + "cpu.max": "150000 100000\n"}, 1.5)
	f("v2 without a quota", map[string]string{self: "0::/\n", v2 + "cpu.max": "max 100000\n"}, 0)
	f("v2, the parent's quota is smaller", map[string]string{
		self: "0::/a.slice/b.service\n", v2 + "a.slice/b.service/cpu.max": "400000 100000", v2 + "a.slice/cpu.max": "200000 100000",
	}, 2)
	f("v2, the own quota is smaller", map[string]string{
		self: "0::/a/b\n", v2 + "a/b/cpu.max": "50000 100000", v2 + "a/cpu.max": "200000 100000", v2 + "cpu.max": "max 100000",
	}, 0.5)
	f("v1", map[string]string{
		self:                                  "5:memory:/x\n4:cpuset:/x\n3:cpu,cpuacct:/x\n",
		v2 + "cpu/x/cpu.cfs_quota_us":         "300000\n",
		v2 + "cpu/x/cpu.cfs_period_us":        "100000\n",
		v2 + "cpuset/x/cpu.cfs_quota_us":      "1\n",
		v2 + "cpu,cpuacct/x/cpu.cfs_quota_us": "1\n",
	}, 3)
	f("v1 in a container", map[string]string{
		self: "3:cpu:/docker/abc\n", v2 + "cpu/cpu.cfs_quota_us": "100000\n", v2 + "cpu/cpu.cfs_period_us": "100000\n",
	}, 1)
	f("v1 without a quota", map[string]string{
		self: "3:cpu:/\n", v2 + "cpu/cpu.cfs_quota_us": "-1\n", v2 + "cpu/cpu.cfs_period_us": "100000\n",
	}, 0)
	f("nonsense", map[string]string{self: "what\n0::/../..\n", v2 + "cpu.max": "1 0"}, 0)
}

func TestCPUs(t *testing.T) {
	if n := CPUs(); n < 1 || n > runtime.NumCPU() {
		t.Errorf("%d of %d", n, runtime.NumCPU())
	}
	if limit := CPULimit(); limit <= 0 || limit > float64(CPUs()) {
		t.Errorf("the limit is %v, of %d", limit, CPUs())
	}
	if _, most := (&Workers{}).Processes(); most != CPUs() {
		t.Errorf("auto is up to %d processes, want %d", most, CPUs())
	}
}
