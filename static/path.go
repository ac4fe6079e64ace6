package static

import (
	"bytes"
	"strings"
)

// verdict is what a path is, before the disk is asked.
type verdict uint8

const (
	isFile   verdict = iota // names a file, or a folder without its slash
	isFolder                // ends with a slash
	isNone                  // 404: nothing that is served has such a name
	isBad                   // 400: no name at all
)

// name makes of a request's path below the route, which was decoded once, a name below the root: slash-separated,
// relative, "." for the root itself. It refuses what could be read in two ways (rows 58 to 61 of the table of bad
// inputs), on every system alike. raw is the path before it was decoded.
func name(path, raw []byte, hidden bool) (string, verdict) {
	if bytes.IndexByte(path, 0) >= 0 {
		return "", isBad // no file system has it, and C would end the name there
	}
	if encodedSlash(raw) || bytes.IndexByte(path, '\\') >= 0 {
		return "", isNone
	}
	what := isFile
	if len(path) == 0 || path[len(path)-1] == '/' {
		what = isFolder
		if len(path) > 0 {
			path = path[:len(path)-1]
		}
	}
	if len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	if len(path) == 0 {
		if what == isFolder {
			return ".", isFolder
		}
		return "", isNone
	}
	first := true
	for rest := path; ; first = false {
		segment, after, more := bytes.Cut(rest, slash)
		if !allowed(segment, hidden || first && string(segment) == ".well-known") {
			return "", isNone
		}
		if !more {
			return string(path), what
		}
		rest = after
	}
}

var slash = []byte{'/'}

// allowed is whether a part of a path may name something that is served.
func allowed(s []byte, hidden bool) bool {
	switch {
	case len(s) == 0, len(s) > 255, string(s) == ".", string(s) == "..":
		return false
	case s[0] == '.' && !hidden: // .git, .env (RFC 8615 has .well-known)
		return false
	case s[len(s)-1] == '~': // what an editor left behind
		return false
	case s[len(s)-1] == '.' || s[len(s)-1] == ' ': // Windows takes them off
		return false
	case bytes.IndexByte(s, ':') >= 0: // Windows: a drive, or a stream of the file
		return false
	}
	for _, c := range s {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return !device(s)
}

// device is whether Windows takes a name for a device, whatever its extension.
func device(s []byte) bool {
	if dot := bytes.IndexByte(s, '.'); dot >= 0 {
		s = s[:dot]
	}
	s = bytes.TrimRight(s, " ")
	switch len(s) {
	case 3:
		return foldedIn(s, "CON", "PRN", "AUX", "NUL")
	case 4, 5: // digits may be superscript ¹ ² ³, of two bytes
		return foldedIn(s[:3], "COM", "LPT") && (len(s) == 4 && s[3] >= '0' && s[3] <= '9' || len(s) == 5 && s[3] == 0xc2 && (s[4] == 0xb9 || s[4] == 0xb2 || s[4] == 0xb3))
	case 6:
		return foldedIn(s, "CONIN$")
	case 7:
		return foldedIn(s, "CONOUT$")
	}
	return false
}

func foldedIn(s []byte, list ...string) bool {
	for _, d := range list {
		if strings.EqualFold(string(s), d) {
			return true
		}
	}
	return false
}

// encodedSlash is whether a path has a slash or backslash in disguise: decoded, it would be part of a name here and
// a separator elsewhere (RFC 3986 §6.2.2).
func encodedSlash(raw []byte) bool {
	for i := 0; i+2 < len(raw); i++ {
		if raw[i] == '%' && (raw[i+1] == '2' && raw[i+2]|0x20 == 'f' || raw[i+1] == '5' && raw[i+2]|0x20 == 'c') {
			return true
		}
	}
	return false
}

// source is whether a name is that of a program, which is not what is to be published.
func source(name string) bool {
	for _, end := range []string{".py", ".pyc", ".pyo", ".pyi", ".pyx", ".php", ".swp", ".bak", ".orig", ".sqlite3"} {
		// In any case, as the file system may not tell them apart.
		if n := len(name) - len(end); n >= 0 && strings.EqualFold(name[n:], end) {
			return true
		}
	}
	return false
}

// hashed is whether a file's name carries a hash of its content, as build tools make them: app.3f9a1c2b.js,
// index-BQx8a1Zf.js, base.5af66c1b1797.css.
func hashed(name string) bool {
	base := name[strings.LastIndexByte(name, '/')+1:]
	dot := strings.LastIndexByte(base, '.')
	if dot <= 0 {
		return false
	}
	stem := base[:dot]
	if inner := strings.LastIndexByte(stem, '.'); inner >= 0 && (stem[inner:] == ".min" || stem[inner:] == ".module" || stem[inner:] == ".chunk") {
		stem = stem[:inner]
	}
	at := strings.LastIndexAny(stem, ".-")
	if at <= 0 {
		return false
	}
	return isHash(stem[at+1:])
}

// isHash is whether a part of a name looks like no word and no number: hexadecimal with digits and letters, or digits and
// letters of both cases.
func isHash(s string) bool {
	if len(s) < 8 || len(s) > 64 {
		return false
	}
	var digits, lower, upper, beyond int
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z':
			lower++
			if c > 'f' {
				beyond++
			}
		case c >= 'A' && c <= 'Z':
			upper++
			beyond++
		case c == '_':
			beyond++
		default:
			return false
		}
	}
	if beyond == 0 {
		return digits > 0 && lower > 0
	}
	return digits > 0 && lower > 0 && upper > 0
}
