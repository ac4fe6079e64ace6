package upstream

import (
	"os"
	"strings"
)

// Files says which script a path names. The zero value is for a responder without files: the
// whole path is PATH_INFO.
type Files struct {
	// Prefix is taken off the path before a file is looked for, and begins SCRIPT_NAME; "" or a path
	// without a slash at its end.
	Prefix string
	// Root is the folder of the scripts as the responder sees it, absolute, without a slash at its end.
	Root string
	// Split is the end of a script's name, such as ".php", in exactly these bytes.
	Split string
	// Index is the script that a path with a slash at its end stands for; "": none.
	Index string
	// Script is the SCRIPT_FILENAME of all requests; with Split, of those whose path names no script.
	Script string
	// Check is whether a script has to be a regular file under Root here.
	Check Check
}

// Check says when scripts are looked for in this machine's file system.
type Check uint8

// The ways to check.
const (
	CheckAuto Check = iota // where Root is a folder here
	CheckOn
	CheckOff
)

// script is what a path was found to mean.
type script struct {
	name string // SCRIPT_NAME
	file string // SCRIPT_FILENAME; "": none
	info string // PATH_INFO
	// translated is PATH_TRANSLATED, which lies inside Root; "": none.
	translated string
}

// resolve finds the script for a request. A path that a responder, or its file system, might read
// in another way than we do is refused: status is then 400 or 404, else 0. It may wait for the disk.
//
// raw is the path as it was sent, path the same, decoded once; path begins with Prefix.
func (f *Files) resolve(raw, path []byte) (s script, status int) {
	rest := string(path[len(f.Prefix):])
	if strings.IndexByte(rest, 0) >= 0 {
		return s, 400 // a parameter ends there for a responder in C
	}
	if f.Split == "" {
		return script{name: f.Prefix, file: f.Script, info: rest}, 0
	}
	// CVE-2019-11043: a line end in the path made a pattern split it elsewhere.
	if strings.ContainsFunc(rest, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return s, 400
	}
	if end, exact := f.find(rest); end > 0 {
		if !exact || !unambiguous(raw, rest) || strings.Contains(rest[:end], "//") || f.missing(rest[:end]) {
			return s, 404
		}
		s = script{name: f.Prefix + rest[:end], file: f.under(rest[:end]), info: rest[end:]}
		if s.info != "" {
			s.translated = f.under(s.info)
		}
		return s, 0
	}
	if f.Index != "" && strings.HasSuffix(rest, "/") && unambiguous(raw, rest) && !strings.Contains(rest, "//") {
		name := rest + f.Index
		// Where nobody can say whether there is an index, the front controller knows more.
		if !f.missing(name) && (f.Script == "" || f.visible()) {
			return script{name: f.Prefix + name, file: f.under(name)}, 0
		}
	}
	if f.Script == "" {
		return s, 404
	}
	name, inside := strings.CutPrefix(f.Script, strings.TrimSuffix(f.Root, "/"))
	if !inside || !strings.HasPrefix(name, "/") {
		name = ""
	}
	return script{name: f.Prefix + name, file: f.Script}, 0
}

// find returns where the script's name ends: behind the first segment that ends with Split; 0: there is none.
// exact is whether it ends so in the very bytes. What only might (other capitals; dots, blanks or a stream's name
// behind it, which some file systems leave off) is found too, to be refused. Bytes beyond ASCII are never folded:
// that changes lengths, and moved the split in CVE-2026-27590 and its like.
func (f *Files) find(path string) (end int, exact bool) {
	for at := 0; at < len(path); {
		next := strings.IndexByte(path[at+1:], '/')
		end = len(path)
		if next >= 0 {
			end = at + 1 + next
		}
		segment := strings.TrimLeft(path[at:end], "/")
		base, _, stream := strings.Cut(segment, ":")
		if f.like(base) || f.like(segment) {
			// A name that is nothing but the suffix is a hidden file.
			return end, !stream && len(segment) > len(f.Split) && strings.HasSuffix(segment, f.Split)
		}
		at = end
	}
	return 0, false
}

// like is whether a name ends with Split, or might for a file system.
func (f *Files) like(name string) bool {
	name = strings.TrimRight(name, ". ")
	return len(name) >= len(f.Split) && equalFoldASCII(name[len(name)-len(f.Split):], f.Split)
}

func equalFoldASCII(a, b string) bool {
	for i := range len(b) {
		x, y := a[i], b[i]
		if x >= 'A' && x <= 'Z' {
			x += 'a' - 'A'
		}
		if y >= 'A' && y <= 'Z' {
			y += 'a' - 'A'
		}
		if x != y {
			return false
		}
	}
	return true
}

// unambiguous is whether every reader finds the same segments in a path: no slash that was encoded, no backslash,
// no "." and "..".
func unambiguous(raw []byte, path string) bool {
	if strings.IndexByte(path, '\\') >= 0 || !strings.HasPrefix(path, "/") {
		return false
	}
	for i := 0; i+2 < len(raw); i++ {
		if raw[i] == '%' && raw[i+1] == '2' && raw[i+2]|0x20 == 'f' {
			return false
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		// Windows leaves off blanks and dots: ".. " is "..".
		if segment != "" && strings.Trim(segment, ". ") == "" {
			return false
		}
	}
	return true
}

func (f *Files) under(name string) string { return strings.TrimSuffix(f.Root, "/") + name }

// visible is whether scripts can be looked for here.
func (f *Files) visible() bool {
	switch f.Check {
	case CheckOn:
		return true
	case CheckOff:
		return false
	}
	info, err := os.Stat(f.Root)
	return err == nil && info.IsDir()
}

// missing is whether name is known to be no regular file under Root. A symbolic link may lead to one, but not
// out of Root. "/photo.jpg/x.php" is none, though PHP may look for the file in front of it.
func (f *Files) missing(name string) bool {
	if !f.visible() {
		return false
	}
	root, err := os.OpenRoot(f.Root)
	if err != nil {
		return true
	}
	defer func() { _ = root.Close() }() // read only
	info, err := root.Stat(strings.TrimPrefix(name, "/"))
	return err != nil || !info.Mode().IsRegular()
}
