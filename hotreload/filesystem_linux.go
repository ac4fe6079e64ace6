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
	return silentFileSystem(uint32(st.Type))
}

// silentFileSystem knows file systems whose content another machine, or the host of this one, may change.
func silentFileSystem(magic uint32) (name string, silent bool) {
	switch magic {
	case 0x6969:
		return "NFS", true
	case 0xff534d42, 0x517b:
		return "CIFS", true
	case 0xfe534d42:
		return "SMB", true
	case 0x65735546:
		return "FUSE", true // virtiofs, sshfs, what containers on a Mac see of the host
	case 0x01021997:
		return "9p", true // the Windows drives of WSL
	case 0x786f4256:
		return "vboxsf", true
	case 0x7c7c6673:
		return "prl_fs", true
	case 0x5346414f:
		return "AFS", true
	case 0x73757245:
		return "Coda", true
	case 0x00c36400:
		return "Ceph", true
	case 0xbacbacbc:
		return "vmhgfs", true
	}
	return "", false
}
