package jsonpass

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// sortKeys puts the members of each object of text, which compact has made, into the order of their keys' characters, as
// Python's sort_keys does. Members of the same key keep their order, as the last counts. What is nested deeper than
// sortDepth stays as it is: its innermost members would be moved once for each level.
func sortKeys(text []byte) {
	if depth(text) > sortDepth {
		return
	}
	s := sorter{text: text}
	s.value(0)
}

// sortDepth is far beyond what applications nest.
const sortDepth = 100

// depth is how deep arrays and objects are nested in text, at most.
func depth(text []byte) int {
	open, most := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i) - 1
		case '{', '[':
			open++
			most = max(most, open)
		case '}', ']':
			open--
		}
	}
	return most
}

type sorter struct {
	text    []byte
	members []member // of the objects that are open, the innermost's last
	scratch []byte
}

// member is one of an object: text[key:end], without the comma.
type member struct{ key, keyEnd, end int }

// value sorts what is within the value at text[i] and returns where it ends.
func (s *sorter) value(i int) int {
	switch s.text[i] {
	case '{':
		return s.object(i)
	case '[':
		for i++; s.text[i] != ']'; {
			if i = s.value(i); s.text[i] == ',' {
				i++
			}
		}
		return i + 1
	case '"':
		return stringEnd(s.text, i)
	}
	for i < len(s.text) && s.text[i] != ',' && s.text[i] != ']' && s.text[i] != '}' {
		i++
	}
	return i
}

// object sorts the object at text[start].
func (s *sorter) object(start int) int {
	first := len(s.members)
	i := start + 1
	for s.text[i] != '}' {
		m := member{key: i}
		m.keyEnd = stringEnd(s.text, i)
		m.end = s.value(m.keyEnd + 1)
		s.members = append(s.members, m)
		if i = m.end; s.text[i] == ',' {
			i++
		}
	}
	own := s.members[first:]
	compare := func(a, b member) int {
		return compareKeys(s.text[a.key+1:a.keyEnd-1], s.text[b.key+1:b.keyEnd-1])
	}
	if !slices.IsSortedFunc(own, compare) {
		slices.SortStableFunc(own, compare)
		s.scratch = s.scratch[:0]
		for k, m := range own {
			if k > 0 {
				s.scratch = append(s.scratch, ',')
			}
			s.scratch = append(s.scratch, s.text[m.key:m.end]...)
		}
		copy(s.text[start+1:], s.scratch)
	}
	s.members = s.members[:first]
	return i + 1
}

// stringEnd returns where the string at text[i] ends.
func stringEnd(text []byte, i int) int {
	for {
		i++
		i += bytes.IndexByte(text[i:], '"')
		backslashes := 0
		for text[i-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i + 1
		}
	}
}

// compareKeys compares what two strings' contents stand for.
func compareKeys(a, b []byte) int {
	if bytes.IndexByte(a, '\\') < 0 && bytes.IndexByte(b, '\\') < 0 {
		return bytes.Compare(a, b) // UTF-8 has the order of the characters
	}
	return slices.Compare(characters(a), characters(b))
}

// characters of a string's content; a surrogate that is alone is one, as in Python.
func characters(s []byte) []rune {
	var list []rune
	for len(s) > 0 {
		if s[0] != '\\' {
			r, n := utf8.DecodeRune(s)
			list, s = append(list, r), s[n:]
			continue
		}
		n, r := escape(s)
		switch {
		case n == 2:
			r = rune(short[r])
		case r < 0:
			r = hex4(s[2:])
		}
		list, s = append(list, r), s[n:]
	}
	return list
}

// short is what the escapes of one letter stand for.
var short = [128]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}
