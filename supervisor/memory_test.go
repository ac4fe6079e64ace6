package supervisor

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"testing"
)

func TestArchives(t *testing.T) {
	f := func(name string, create func([]byte) (*archive, error)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			leaks(t)
			zip := zooArchive()
			a, err := create(zip)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(testPython(), "-c", "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())", a.path)
			cmd.ExtraFiles = []*os.File{nil, nil, nil, a.file}
			for range 2 { // a reader must not move the next one's place in the file
				if got, err := cmd.Output(); err != nil || !bytes.Equal(got, zip) {
					t.Errorf("Python read %d bytes, %v", len(got), err)
				}
				cmd = exec.Command(cmd.Path, cmd.Args[1:]...)
				cmd.ExtraFiles = []*os.File{nil, nil, nil, a.file}
			}
			path := a.temp
			if err := a.close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(path); path != "" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", path, err)
			}
		})
	}
	f("of this system", newArchive)
	f("in a file", newTempArchive)
}

func TestMarksAreShared(t *testing.T) {
	leaks(t)
	marks, file, err := newMarks()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte{1}, 65535); err != nil {
		t.Fatal(err)
	}
	if len(marks) != 65536 || marks[65535] != 1 || marks[0] != 0 {
		t.Error("the mapping does not show what was written")
	}
	if err := errors.Join(unmapMarks(marks), file.Close()); err != nil {
		t.Error(err)
	}
}
