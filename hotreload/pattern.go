package hotreload

import (
	"slices"
	"strings"
)

// pattern is one line of a .gitignore (gitignore(5)), or one entry of include or exclude.
type pattern struct {
	negated bool
	folder  bool     // it matches folders only
	parts   []string // between the slashes; "**" stands for any number of folders
}

// parsePattern returns false for a line that says nothing.
func parsePattern(line string) (p pattern, ok bool) {
	line = trimBlanks(line)
	if rest, found := strings.CutPrefix(line, "!"); found {
		p.negated, line = true, rest
	}
	if rest, found := strings.CutSuffix(line, "/"); found {
		p.folder, line = true, rest
	}
	if line == "" {
		return p, false
	}
	rest, anchored := strings.CutPrefix(line, "/")
	p.parts = strings.Split(rest, "/")
	if len(p.parts) == 1 && !anchored && rest != "**" {
		p.parts = []string{"**", rest}
	}
	return p, true
}

// trimBlanks takes blanks from the end, unless a backslash keeps them.
func trimBlanks(line string) string {
	line = strings.TrimSuffix(line, "\r")
	end := len(line)
	for end > 0 && line[end-1] == ' ' {
		end--
	}
	if end < len(line) {
		slashes := 0
		for slashes < end && line[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 1 {
			end++
		}
	}
	return line[:end]
}

// matches is whether the pattern names that very file or folder; what lies in a folder is not asked for.
func (p *pattern) matches(names []string, folder bool) bool {
	if p.folder && !folder {
		return false
	}
	if len(p.parts) == 2 && p.parts[0] == "**" && p.parts[1] != "**" { // the most frequent kind
		return matchName(p.parts[1], names[len(names)-1])
	}
	return matchParts(p.parts, names)
}

func matchParts(parts, names []string) bool {
	for len(parts) > 0 {
		if parts[0] == "**" {
			if len(parts) == 1 {
				return len(names) > 0
			}
			for i := range len(names) {
				if matchParts(parts[1:], names[i:]) {
					return true
				}
			}
			return false
		}
		if len(names) == 0 || !matchName(parts[0], names[0]) {
			return false
		}
		parts, names = parts[1:], names[1:]
	}
	return len(names) == 0
}

// leadsTo is whether the folder is one that the pattern names by its whole path, is in such a one, or is on the way to it.
func (p *pattern) leadsTo(folder []string) bool {
	for i, name := range folder {
		switch {
		case i == len(p.parts):
			return true
		case p.parts[i] == "**":
			return i > 0
		case !matchName(p.parts[i], name):
			return false
		}
	}
	return true
}

// matchName matches one name with a glob that has no slash: * ? [a-z] [!a] [[:alpha:]] and \ are special.
func matchName(glob, name string) bool {
	if !strings.ContainsAny(glob, `*?[\`) {
		return glob == name
	}
	// Where the last * is, and how much of name it has taken so far: only the last has to be tried again.
	star, taken := -1, 0
	g, n := 0, 0
	for n < len(name) {
		if g < len(glob) && glob[g] == '*' {
			star, taken = g, n
			g++
			continue
		}
		if length, ok := matchByte(glob[g:], name[n]); ok {
			g += length
			n++
			continue
		}
		if star < 0 {
			return false
		}
		taken++
		g, n = star+1, taken
	}
	return strings.Trim(glob[g:], "*") == ""
}

// matchByte matches what the glob begins with, which is length bytes of it, with one byte.
func matchByte(glob string, c byte) (length int, ok bool) {
	if glob == "" {
		return 0, false
	}
	switch glob[0] {
	case '?':
		return 1, true
	case '\\':
		if len(glob) > 1 {
			return 2, glob[1] == c
		}
		return 1, false
	case '[':
		return matchSet(glob, c)
	}
	return 1, glob[0] == c
}

// matchSet matches [...]; one that does not end matches nothing.
func matchSet(glob string, c byte) (length int, ok bool) {
	i := 1
	negated := i < len(glob) && (glob[i] == '!' || glob[i] == '^')
	if negated {
		i++
	}
	for first := true; ; first = false {
		if i >= len(glob) {
			return 0, false
		}
		if glob[i] == ']' && !first {
			break
		}
		if rest := glob[i:]; strings.HasPrefix(rest, "[:") {
			end := strings.Index(rest, ":]")
			if end < 0 {
				return 0, false
			}
			ok = ok || inClass(rest[2:end], c)
			i += end + 2
			continue
		}
		var low byte
		if low, i = setByte(glob, i); i > len(glob) {
			return 0, false
		}
		high := low
		if i+1 < len(glob) && glob[i] == '-' && glob[i+1] != ']' {
			if high, i = setByte(glob, i+1); i > len(glob) {
				return 0, false
			}
		}
		ok = ok || low <= c && c <= high
	}
	return i + 1, ok != negated
}

// setByte reads one byte of a set and returns where the next begins.
func setByte(glob string, i int) (c byte, next int) {
	if glob[i] == '\\' {
		i++
	}
	if i >= len(glob) {
		return 0, len(glob) + 1
	}
	return glob[i], i + 1
}

func inClass(class string, c byte) bool {
	lower, upper, digit := c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9'
	switch class {
	case "alnum":
		return lower || upper || digit
	case "alpha":
		return lower || upper
	case "blank":
		return c == ' ' || c == '\t'
	case "cntrl":
		return c < ' ' || c == 0x7f
	case "digit":
		return digit
	case "graph":
		return c > ' ' && c < 0x7f
	case "lower":
		return lower
	case "print":
		return c >= ' ' && c < 0x7f
	case "punct":
		return c > ' ' && c < 0x7f && !lower && !upper && !digit
	case "space":
		return c == ' ' || c >= '\t' && c <= '\r'
	case "upper":
		return upper
	case "xdigit":
		return digit || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
	}
	return false
}

// patterns is a list of which any may match.
type patterns []pattern

// parsePatterns reads entries of include or exclude; absolute ones are meant within root.
func parsePatterns(entries []string, root string) patterns {
	var list patterns
	for _, entry := range entries {
		rest, inside := strings.CutPrefix(entry, strings.TrimSuffix(root, "/")+"/")
		switch {
		case inside:
			entry = "/" + rest
		case strings.HasPrefix(entry, "./"):
			entry = entry[1:]
		}
		if p, ok := parsePattern(entry); ok {
			p.negated = false
			list = append(list, p)
		}
	}
	return list
}

// covers is whether one of them names the file or folder, or a folder that it is in.
func (l patterns) covers(names []string, folder bool) bool {
	return slices.ContainsFunc(l, func(p pattern) bool {
		for n := 1; n < len(names); n++ {
			if p.matches(names[:n], true) {
				return true
			}
		}
		return p.matches(names, folder)
	})
}

func (l patterns) leadTo(folder []string) bool {
	return slices.ContainsFunc(l, func(p pattern) bool { return p.leadsTo(folder) })
}
