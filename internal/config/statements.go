package config

import (
	"iter"
	"strings"

	"github.com/BurntSushi/toml"
)

// statement is a table's header, or a key with its value, of a valid TOML file.
type statement struct {
	line int // on which it begins, from 1
	text string
}

// statements goes through a valid TOML file. A value goes on over line ends within brackets and
// multi-line strings (TOML 1.0).
func statements(text string) iter.Seq[statement] {
	return func(yield func(statement) bool) {
		line := 1
		for len(text) > 0 {
			n := statementEnd(text)
			s := statement{line: line, text: strings.TrimSpace(text[:n])}
			line += strings.Count(text[:n], "\n")
			text = text[n:]
			if s.text != "" && s.text[0] != '#' && !yield(s) {
				return
			}
		}
	}
}

// statementEnd is the length of the first statement, with its line end.
func statementEnd(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\n':
			if depth == 0 {
				return i + 1
			}
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '#':
			if end := strings.IndexByte(text[i:], '\n'); end >= 0 {
				i += end - 1
			} else {
				return len(text)
			}
		case '"', '\'':
			i += stringEnd(text[i:]) - 1
		}
	}
	return len(text)
}

// stringEnd is the length of the string that text begins with.
func stringEnd(text string) int {
	quote := text[:1]
	if strings.HasPrefix(text, quote+quote+quote) {
		quote = text[:3]
	}
	for i := len(quote); i < len(text); i++ {
		if quote[0] == '"' && text[i] == '\\' {
			i++
			continue
		}
		if !strings.HasPrefix(text[i:], quote) {
			continue
		}
		i += len(quote)
		// Up to two more quotes belong to a multi-line string's content.
		for len(quote) == 3 && i < len(text) && text[i] == quote[0] {
			i++
		}
		return i
	}
	return len(text)
}

// header is the key of a table's header; ok: s is one.
func (s statement) header() (key toml.Key, isArray, ok bool) {
	inner, ok := strings.CutPrefix(s.text, "[")
	if !ok {
		return nil, false, false
	}
	inner, isArray = strings.CutPrefix(inner, "[")
	key, _ = dottedKey(inner)
	return key, isArray, true
}

// key is the key of a statement that is no header.
func (s statement) key() toml.Key {
	key, _ := dottedKey(s.text)
	return key
}

// dottedKey reads the dotted key that text begins with, and returns the rest. Escapes in a quoted part are left as
// they are: no option's name needs them.
func dottedKey(text string) (key toml.Key, rest string) {
	for {
		text = strings.TrimLeft(text, " \t")
		var n int
		switch {
		case text == "":
			return key, ""
		case text[0] == '"' || text[0] == '\'':
			n = stringEnd(text)
			key = append(key, strings.Trim(text[:n], text[:1]))
		default:
			n = strings.IndexAny(text, " \t.=]")
			if n < 0 {
				n = len(text)
			}
			key = append(key, text[:n])
		}
		text = strings.TrimLeft(text[n:], " \t")
		if !strings.HasPrefix(text, ".") {
			return key, text
		}
		text = text[1:]
	}
}
