package config

import (
	"testing"
	"testing/fstest"
)

func TestMemory(t *testing.T) {
	f := func(name string, files map[string]string, want int64) {
		t.Helper()
		root := fstest.MapFS{}
		for file, content := range files {
			root[file] = &fstest.MapFile{Data: []byte(content)}
		}
		if got := memory(root); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	const (
		self, v2, v1 = "proc/self/cgroup", "sys/fs/cgroup/", "sys/fs/cgroup/memory/"
		info, total  = "proc/meminfo", "MemTotal:       24683656 kB\nMemFree:        23414448 kB\n"
		machine      = int64(24683656) << 10
	)
	f("nothing is known", nil, 0)
	f("no cgroups", map[string]string{info: total}, machine)
	f("no MemTotal", map[string]string{info: "MemFree: 1 kB\n"}, 0)
	f("MemTotal in another unit", map[string]string{info: "MemTotal: 5 MB\n"}, 0)
	f("v2 in a container", map[string]string{info: total, self: "0::/\n", v2 + "memory.max": "536870912\n", v2 + "memory.high": "max\n"}, 512<<20)
	f("v2 without a limit", map[string]string{info: total, self: "0::/\n", v2 + "memory.max": "max\n", v2 + "memory.high": "max\n"}, machine)
	f("v2, the process is slowed down before it is killed", map[string]string{
		info: total, self: "0::/\n", v2 + "memory.max": "536870912\n", v2 + "memory.high": "268435456\n",
	}, 256<<20)
	f("v2, the parent's limit is lower", map[string]string{
		info: total, self: "0::/a.slice/b.service\n",
		v2 + "a.slice/b.service/memory.max": "max\n", v2 + "a.slice/memory.max": "1073741824\n",
	}, 1<<30)
	f("v2, the own limit is lower", map[string]string{
		info: total, self: "0::/a/b\n", v2 + "a/b/memory.max": "1048576", v2 + "a/memory.max": "2097152", v2 + "memory.max": "max",
	}, 1<<20)
	f("v2, a limit beyond the machine", map[string]string{info: total, self: "0::/\n", v2 + "memory.max": "109951162777600\n"}, machine)
	f("v2 where the machine is not known", map[string]string{self: "0::/\n", v2 + "memory.max": "1048576\n"}, 1<<20)
	f("v1", map[string]string{
		info: total, self: "9:name=systemd:/\n4:memory:/x/y\n1:cpu:/z\n0::/\n",
		v1 + "x/y/memory.limit_in_bytes": "9223372036854771712\n", v1 + "x/memory.limit_in_bytes": "2147483648\n",
		v1 + "z/memory.limit_in_bytes": "1\n",
	}, 2<<30)
	f("v1 in a container", map[string]string{info: total, self: "3:memory:/docker/abc\n", v1 + "memory.limit_in_bytes": "134217728\n"}, 128<<20)
	f("v1 without a limit", map[string]string{info: total, self: "3:memory:/\n", v1 + "memory.limit_in_bytes": "9223372036854771712\n"}, machine)
	f("nonsense", map[string]string{info: total, self: "what\n0::/../..\n", v2 + "memory.max": "-5\n", v2 + "memory.high": "many"}, machine)
}

func TestProcesses(t *testing.T) {
	f := func(name string, w Workers, cpus int, memory int64, first, most int) {
		t.Helper()
		if gotFirst, gotMost := w.processes(cpus, memory); gotFirst != first || gotMost != most {
			t.Errorf("%s: first %d of at most %d, want %d of %d", name, gotFirst, gotMost, first, most)
		}
	}
	const gib = 1 << 30
	f("auto", Workers{}, 4, 8*gib, 4, 4)
	f("auto where the memory may be short", Workers{}, 4, gib, 1, 4)
	f("auto where it just suffices", Workers{}, 4, 5*gib/4, 4, 4)
	f("auto, one CPU and next to no memory", Workers{}, 1, 1<<20, 1, 1)
	f("auto where the memory is not known", Workers{}, 4, 0, 4, 4)
	f("auto with a bound of its own", Workers{MaxMemory: gib / 2}, 4, 8*gib, 1, 4)
	f("auto with a bound that suffices", Workers{MaxMemory: gib}, 4, gib, 4, 4)
	f("a number", Workers{Count: Count{3, 3}}, 1, 1<<20, 3, 3)
	f("a range", Workers{Count: Count{2, 7}}, 1, 1<<20, 2, 7)
	f("from none", Workers{Count: Count{0, 7}}, 1, 1<<20, 0, 7)
}

func TestMemoryBudget(t *testing.T) {
	f := func(most, memory, want int64) {
		t.Helper()
		if got := (&Workers{MaxMemory: most}).memoryBudget(memory); got != want {
			t.Errorf("max_memory %d of %d: got %d, want %d", most, memory, got, want)
		}
	}
	f(0, 0, 0)
	f(0, 1000, 800)
	f(500, 1000, 500)
	f(5000, 1000, 5000) // whoever says so knows of swap
	f(5000, 0, 5000)
}
