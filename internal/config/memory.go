package config

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// Memory is how many bytes this process and its children may have resident: the machine's memory, or less where its
// cgroup or one above it says so; 0 where neither can be known.
func Memory() int64 { return memory(os.DirFS("/")) }

func memory(root fs.FS) int64 {
	lowest := machineMemory(root)
	eachCgroup(root, "memory", func(dir string, v2 bool) {
		files := []string{"memory.limit_in_bytes"}
		if v2 {
			// Beyond high nothing is killed, but all are slowed down until they hold less.
			files = []string{"memory.max", "memory.high"}
		}
		for _, file := range files {
			if n := bytesIn(root, path.Join(dir, file)); n > 0 && (lowest == 0 || n < lowest) {
				lowest = n
			}
		}
	})
	return lowest
}

// bytesIn is the number in a file; 0 for one that does not exist, and for the "max" that stands for no limit. The v1
// files have a number beyond any machine's memory for that.
func bytesIn(root fs.FS, file string) int64 {
	data, err := fs.ReadFile(root, file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// machineMemory reads MemTotal of /proc/meminfo; 0 where there is none.
func machineMemory(root fs.FS) int64 {
	data, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			if fields := strings.Fields(rest); len(fields) == 2 && fields[1] == "kB" {
				n, err := strconv.ParseInt(fields[0], 10, 64)
				if err == nil && n < 1<<50 {
					return n << 10
				}
			}
			return 0
		}
	}
	return 0
}
