package static

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWays: the kernel's way below the root and os.Root's lead to the same files, and refuse the same.
func TestWays(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"root/sub/deep", "outside"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"root/a", "root/sub/b", "root/sub/deep/c", "outside/secret"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte(n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"in": "sub/b", "up": "sub/../a", "folder": "sub/deep", "sub/back": "../a", "out": "../outside/secret", "outfolder": "../outside",
		"absolute": filepath.Join(dir, "root/a"), "proc": "/proc/self/cwd", "loop": "loop", "round": "../root/a", "none": "nothing",
	} {
		if err := os.Symlink(to, filepath.Join(dir, "root", link)); err != nil {
			t.Fatal(err)
		}
	}
	straight, err := openRoot(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer straight.close()
	if straight.walks {
		t.Fatal("the kernel of this machine has no openat2")
	}
	walking, err := openRoot(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer walking.close()
	walking.walks = true
	names := []string{
		"a", "sub/b", "sub/deep/c", "in", "up", "folder/c", "sub/back", "out", "outfolder/secret", "absolute", "proc", "proc/a", "loop", "round", "none",
		".", "sub", "a/x", "..", "../outside/secret", "sub/../../outside/secret", "/etc/passwd", "missing",
	}
	for _, n := range names {
		var got [2]string
		for i, r := range []*root{straight, walking} {
			h, err := r.open(n)
			if err != nil {
				got[i] = "refused"
				if !absent(err) {
					t.Errorf("%s: %v", n, err)
				}
				continue
			}
			what, err := h.stat()
			if err != nil {
				t.Fatal(err)
			}
			f := file{handle: h, info: what}
			if got[i] = "a folder"; what.regular {
				b, err := f.whole()
				if err != nil {
					t.Fatal(err)
				}
				got[i] = string(b)
			}
			h.close()
		}
		if got[0] != got[1] {
			t.Errorf("%s: the kernel says %q, os.Root %q", n, got[0], got[1])
		}
		if got[0] == "outside/secret" {
			t.Errorf("%s leads out of the root", n)
		}
	}
}
