package pyshim

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestArchiveHoldsEverySourceFile(t *testing.T) {
	archive, err := Archive()
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	want, err := filepath.Glob("pyspeed/*.py")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := filepath.Glob("pyspeed/accelerate/*.py")
	if err != nil || len(inner) == 0 {
		t.Fatal(inner, err)
	}
	want = append(append(want, "__main__.py"), inner...)
	slices.Sort(want)
	var got []string
	for _, f := range z.File {
		got = append(got, f.Name)
		if f.Method != zip.Store {
			t.Errorf("%s is compressed", f.Name)
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		onDisk, err := os.ReadFile(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content, onDisk) {
			t.Errorf("%s differs from its source", f.Name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the archive holds %q, want %q", got, want)
	}
	// Another package inside the package would need a pattern of its own. Of the FastCGI responder no
	// worker has any need.
	nested, err := filepath.Glob("pyspeed/*/*.py")
	nested = slices.DeleteFunc(nested, func(name string) bool {
		return strings.HasPrefix(name, "pyspeed/fastcgi/") || slices.Contains(inner, name)
	})
	if err != nil || len(nested) > 0 {
		t.Errorf("these files are not in the archive: %q (%v)", nested, err)
	}
}

func TestArchiveIsDeterministic(t *testing.T) {
	first, err := pack(source)
	if err != nil {
		t.Fatal(err)
	}
	second, err := pack(source)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two archives of the same source differ")
	}
}
