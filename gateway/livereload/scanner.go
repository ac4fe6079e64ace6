package livereload

import "bytes"

// scanner finds the end of an HTML document's content: the first end tag of body or html that is one.
// What looks like it in a comment, an attribute, a script or a text area is not, and a script element put there would
// break the page. It follows the tokenizer of WHATWG HTML §13.2.5 as far as that needs, a byte at a time, so
// that it does not matter how the document is cut.
//
// Two things are not followed, as they need the tree: scripts that hold comments that hold scripts, and
// raw text elements in SVG that close themselves. At worst the end of the document is taken instead.
type scanner struct {
	state  state
	end    bool // the tag is an end tag
	dashes int  // in a comment: of those that may begin its end; in markup: of those that begin a comment
	quote  byte
	name   [longest]byte // of the tag, in lower case
	length int           // of name; longest+1: it is longer
	raw    string        // the element whose text is not markup
}

const longest = len("plaintext")

// marker is how long "</body" and "</html" are.
const marker = len("</body")

type state uint8

const (
	inData      state = iota
	inRaw             // the text of a raw text element
	tagOpen           // behind <
	endTagOpen        // behind </
	tagName           // in a name
	rawTagOpen        // as these, in the text of a raw text element
	rawEndOpen        //
	rawEndName        //
	attributes        // before the name of an attribute
	attribute         // in its name
	afterName         // behind it
	beforeValue       // behind =
	value             // in one without quotes
	quoted            // in one with them
	markup            // behind <!
	bogus             // a comment that ends with the next >
	commentHead       // behind <!-- and dashes
	comment
	commentBang // behind --!
	forever     // plaintext: no markup follows
)

// find looks at p, which follows what it was given before, and returns the index of the byte behind the marker's
// name, or -1. The marker may have begun before p.
func (s *scanner) find(p []byte) int {
	for i := 0; i < len(p); i++ {
		if s.state == inData || s.state == inRaw {
			n := bytes.IndexByte(p[i:], '<')
			if n < 0 {
				return -1
			}
			i += n
		}
		if s.next(p[i]) {
			return i
		}
	}
	return -1
}

// held is how many of the last bytes may be the beginning of the marker.
func (s *scanner) held() int {
	switch s.state {
	case tagOpen:
		return 1
	case endTagOpen:
		return 2
	case tagName:
		if n := s.length; s.end && n <= 4 && (string(s.name[:n]) == "body"[:n] || string(s.name[:n]) == "html"[:n]) {
			return 2 + n
		}
	}
	return 0
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\f' || c == '\r' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// next takes a byte; true: it is the one behind the marker's name.
func (s *scanner) next(c byte) bool {
	switch s.state {
	case inData:
		if c == '<' {
			s.state = tagOpen
		}
	case tagOpen:
		switch {
		case isLetter(c):
			s.begin(tagName, false)
			s.letter(c)
		case c == '/':
			s.state = endTagOpen
		case c == '!':
			s.state, s.dashes = markup, 0
		case c == '?':
			s.state = bogus
		case c != '<':
			s.state = inData
		}
	case endTagOpen:
		switch {
		case isLetter(c):
			s.begin(tagName, true)
			s.letter(c)
		case c == '>':
			s.state = inData
		default:
			s.state = bogus
		}
	case tagName:
		if c != '>' && c != '/' && !isSpace(c) {
			s.letter(c)
			return false
		}
		if name := s.tag(); s.end && (name == "body" || name == "html") {
			return true
		}
		s.named(c)
	case inRaw, rawTagOpen, rawEndOpen, rawEndName:
		s.inRaw(c)
	case attributes, attribute, afterName, beforeValue, value, quoted:
		s.inTag(c)
	case markup, bogus, commentHead, comment, commentBang:
		s.inMarkup(c)
	case forever:
	}
	return false
}

func (s *scanner) begin(to state, end bool) { s.state, s.end, s.length = to, end, 0 }

func (s *scanner) letter(c byte) {
	if s.length < longest {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		s.name[s.length] = c
	}
	s.length = min(s.length+1, longest+1)
}

// tag is the name of the tag, "" for one that is too long to matter.
func (s *scanner) tag() string {
	if s.length > longest {
		return ""
	}
	return string(s.name[:s.length])
}

// named goes on behind a tag's name, whose end is c.
func (s *scanner) named(c byte) {
	if c == '>' {
		s.close()
	} else {
		s.state = attributes
	}
}

// close ends a tag.
func (s *scanner) close() {
	s.state = inData
	if s.end {
		return
	}
	switch s.tag() {
	case "script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript":
		s.state, s.raw = inRaw, s.tag()
	case "plaintext":
		s.state = forever
	}
}

// inRaw takes a byte of a raw text element, which only its own end tag ends.
func (s *scanner) inRaw(c byte) {
	switch {
	case c == '<':
		s.state = rawTagOpen
	case s.state == rawTagOpen && c == '/':
		s.begin(rawEndOpen, true)
	case (s.state == rawEndOpen || s.state == rawEndName) && isLetter(c):
		s.state = rawEndName
		s.letter(c)
	case s.state == rawEndName && (c == '>' || c == '/' || isSpace(c)) && s.tag() == s.raw:
		s.named(c)
	default:
		s.state = inRaw
	}
}

// inTag takes a byte behind a tag's name.
func (s *scanner) inTag(c byte) {
	switch {
	case s.state == quoted:
		if c == s.quote {
			s.state = attributes
		}
	case c == '>':
		s.close()
	case isSpace(c):
		switch s.state {
		case attribute:
			s.state = afterName
		case value:
			s.state = attributes
		}
	case s.state == value:
	case s.state == beforeValue:
		if c == '"' || c == '\'' {
			s.state, s.quote = quoted, c
		} else {
			s.state = value
		}
	case c == '/':
		s.state = attributes
	case c == '=' && s.state != attributes:
		s.state = beforeValue
	default:
		s.state = attribute
	}
}

// inMarkup takes a byte of a comment or a declaration.
func (s *scanner) inMarkup(c byte) {
	switch s.state {
	case markup:
		switch {
		case c == '-' && s.dashes == 1:
			s.state, s.dashes = commentHead, 0
		case c == '-':
			s.dashes = 1
		case c == '>':
			s.state = inData
		default:
			s.state = bogus
		}
	case bogus:
		if c == '>' {
			s.state = inData
		}
	case commentHead: // <!--> and <!---> are whole
		switch {
		case c == '>':
			s.state = inData
		case c == '-' && s.dashes == 0:
			s.dashes = 1
		case c == '-':
			s.state, s.dashes = comment, 2
		default:
			s.state, s.dashes = comment, 0
		}
	case comment:
		switch {
		case c == '-':
			s.dashes = min(s.dashes+1, 2)
		case c == '>' && s.dashes == 2:
			s.state = inData
		case c == '!' && s.dashes == 2:
			s.state = commentBang
		default:
			s.dashes = 0
		}
	case commentBang:
		switch c {
		case '>':
			s.state = inData
		case '-':
			s.state, s.dashes = comment, 1
		default:
			s.state, s.dashes = comment, 0
		}
	}
}
