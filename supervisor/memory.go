package supervisor

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// marksLen is the length of the start marks: one byte per request id.
const marksLen = 65536

// newMarks returns start marks, all 0, and the file a worker maps them from.
// The caller closes the file; unmapMarks ends the mapping.
func newMarks() (marks []byte, file *os.File, err error) {
	file, err = anonymousFile("pyspeed-marks")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot create the start marks: %w", err)
	}
	if err = file.Truncate(marksLen); err == nil {
		marks, err = syscall.Mmap(int(file.Fd()), 0, marksLen, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cannot map the start marks: %w", err), file.Close())
	}
	return marks, file, nil
}

func unmapMarks(marks []byte) error { return syscall.Munmap(marks) }

// archive is the shim's zip as workers see it: one file for all of them.
type archive struct {
	file *os.File // becomes descriptor 6
	path string   // what Python is told to run
	temp string   // a file to remove at the end; "" when there is none
}

// newTempArchive writes the zip where Python can open it by name, for systems
// on which it cannot live in memory.
func newTempArchive(zip []byte) (*archive, error) {
	file, err := os.CreateTemp("", "pyspeed-*.zip") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("cannot create a file for the shim: %w", err)
	}
	if _, err = file.Write(zip); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot write the shim to %s: %w", file.Name(), err), file.Close(), os.Remove(file.Name()))
	}
	return &archive{file: file, path: file.Name(), temp: file.Name()}, nil
}

func (a *archive) close() error {
	err := a.file.Close()
	if a.temp != "" {
		err = errors.Join(err, os.Remove(a.temp))
	}
	return err
}

// tempAnonymousFile is an unlinked temporary file.
func tempAnonymousFile(name string) (*os.File, error) {
	file, err := os.CreateTemp("", name+"-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
