//go:build linux

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls that are made for each answer. None of them blocks, so the scheduler need not know of
// them, which would cost as much again.

// drop reads up to n bytes, and has the kernel throw them away: with MSG_TRUNC it copies nothing to
// where they would go, which is nowhere.
func drop(fd, n int) (int, error) {
	got, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, uintptr(n), unix.MSG_TRUNC, 0, 0)
	return result(got, errno)
}

func receive(fd int, p []byte) (int, error) {
	got, _, errno := unix.RawSyscall6(
		unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
	return result(got, errno)
}

func send(fd int, p []byte) (int, error) {
	got, _, errno := unix.RawSyscall6(
		unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	return result(got, errno)
}

func result(n uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
