package hotreload

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

// ignoreFile is the lines of one .gitignore, and of those in the folders above. nil ignores nothing.
type ignoreFile struct {
	lines []pattern
	depth int // of its folder, in names below the repository's; the patterns are about what comes after
	above *ignoreFile
}

// ignores is whether the last line that matches, of the nearest file that has one, says so. What lies in an
// ignored folder is ignored too, which is for the caller: he does not go there.
func (f *ignoreFile) ignores(names []string, folder bool) bool {
	for ; f != nil; f = f.above {
		below := names[f.depth:]
		for i := len(f.lines) - 1; i >= 0; i-- {
			if f.lines[i].matches(below, folder) {
				return !f.lines[i].negated
			}
		}
	}
	return false
}

// with returns f and the lines of a .gitignore in a folder of that depth; f itself where there are none.
func (f *ignoreFile) with(content []byte, depth int) *ignoreFile {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	var lines []pattern
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if p, ok := parsePattern(line); ok {
			lines = append(lines, p)
		}
	}
	if lines == nil {
		return f
	}
	return &ignoreFile{lines: lines, depth: depth, above: f}
}

// ignoreFileMost bounds what is read of a .gitignore.
const ignoreFileMost = 1 << 20

// read returns f and the lines of the file at path, if there is one.
func (f *ignoreFile) read(path string, depth int) *ignoreFile {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > ignoreFileMost {
		return f
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return f
	}
	return f.with(content, depth)
}

// repository is what Git knows of a watched folder.
type repository struct {
	gitDir string      // "" outside of a repository
	names  []string    // of the folders from the repository's down to the watched one
	ignore *ignoreFile // of all above the watched one
}

// findRepository looks for the repository that the folder is in. Where that ignores the folder as a whole, its lines
// do not count: somebody wants it to be watched all the same.
func findRepository(folder string) repository {
	var names []string
	top := folder
	for {
		if _, err := os.Lstat(filepath.Join(top, ".git")); err == nil {
			break
		}
		parent := filepath.Dir(top)
		if parent == top {
			return repository{}
		}
		names = append([]string{filepath.Base(top)}, names...)
		top = parent
	}
	r := repository{gitDir: gitDir(filepath.Join(top, ".git")), names: names}
	ignore := (*ignoreFile)(nil).read(filepath.Join(commonDir(r.gitDir), "info", "exclude"), 0)
	at := top
	for depth, name := range names {
		ignore = ignore.read(filepath.Join(at, ".gitignore"), depth)
		if ignore.ignores(names[:depth+1], true) {
			return repository{gitDir: r.gitDir}
		}
		at = filepath.Join(at, name)
	}
	r.ignore = ignore
	return r
}

// gitDir is the folder that Git keeps its files in: .git itself, or what that names in a work tree of its own.
func gitDir(path string) string {
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return path
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return path
	}
	dir, ok := strings.CutPrefix(strings.TrimSpace(string(content)), "gitdir: ")
	if !ok {
		return path
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(path), dir)
	}
	return dir
}

// commonDir is where a work tree's repository keeps what all its work trees share.
func commonDir(gitDir string) string {
	content, err := os.ReadFile(filepath.Join(gitDir, "commondir"))
	if err != nil {
		return gitDir
	}
	dir := strings.TrimSpace(string(content))
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(gitDir, dir)
	}
	return dir
}
