package config

import (
	"io/fs"
	"path"
	"strings"
)

// eachCgroup calls see for the folder of this process's cgroup and of each above it, in every hierarchy that
// has the controller; v2 says which kind of files it has. root is the file system's root.
//
// A container sees its own cgroup as the mounted root, while /proc may name the path outside: so folders that do not exist
// are among them.
func eachCgroup(root fs.FS, controller string, see func(dir string, v2 bool)) {
	data, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(data)) {
		// hierarchy-id:controllers:path, see cgroups(7).
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mount, v2 := "sys/fs/cgroup", parts[1] == ""
		if !v2 {
			if !strings.Contains(","+parts[1]+",", ","+controller+",") {
				continue
			}
			mount = path.Join(mount, controller)
		}
		for dir := path.Join("/", parts[2]); ; dir = path.Dir(dir) {
			see(path.Join(mount, dir), v2)
			if dir == "/" {
				break
			}
		}
	}
}
