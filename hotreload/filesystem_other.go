//go:build !linux

package hotreload

import (
	"golang.org/x/sys/unix"
)

// withoutEvents is whether a folder's file system tells nothing of what others do in it, and its name.
func withoutEvents(dir string) (name string, without bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", false
	}
	name = unix.ByteSliceToString(st.Fstypename[:])
	switch name {
	case "nfs", "smbfs", "webdav", "afpfs", "osxfuse", "macfuse", "fusefs", "prl_fs", "vmhgfs":
		return name, true
	}
	return name, false
}
