package livereload

import (
	"regexp"
	"strconv"
	"strings"
)

// trace is one exception of a traceback, with the calls that led to it.
type trace struct {
	relation string // how the one before it in the text belongs to it, in Python's words; "" for the first
	frames   []frame
	message  string // type and text of the exception; may have several lines
}

// frame is one call.
type frame struct {
	file     string // as Python names it: relative, or <string>, where there is no better name
	line     int
	function string // "" for the place of a syntax error
	text     []string
	repeated string // Python's words for calls that it left out
}

var (
	frameLine  = regexp.MustCompile(`^  File "(.*)", line ([0-9]+)(?:, in (.*))?$`)
	repetition = regexp.MustCompile(`^  \[Previous line repeated ([0-9]+) more times?\]$`)
)

// Python's words between two exceptions, and between an exception and the one that it was raised for.
const (
	directCause = "The above exception was the direct cause of the following exception:"
	handling    = "During handling of the above exception, another exception occurred:"
	traceHeader = "Traceback (most recent call last):"
	groupHeader = "Exception Group Traceback (most recent call last):"
)

// parseTraceback reads what Python's traceback module prints, oldest exception first. What it does not
// understand is part of a message, so nothing is lost.
func parseTraceback(text string) []trace {
	var all []trace
	var now trace
	inMessage, group := false, false
	end := func() {
		now.message = strings.TrimRight(now.message, "\n")
		if now.message != "" || len(now.frames) > 0 {
			all = append(all, now)
		}
		now = trace{}
		inMessage, group = false, false
	}
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == directCause || line == handling:
			end()
			now.relation = line
			continue
		case !inMessage && strings.TrimLeft(line, " +|") == groupHeader && len(now.frames) == 0:
			group = true
			continue
		case line == traceHeader && !inMessage, line == "" && !inMessage:
			continue
		}
		if group && !inMessage {
			line = strings.TrimPrefix(line, "  | ") // the group's own frames; its members are part of the message
		}
		if m := frameLine.FindStringSubmatch(line); m != nil && !inMessage {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				n = 0
			}
			now.frames = append(now.frames, frame{file: m[1], line: n, function: m[3]})
			continue
		}
		if last := len(now.frames) - 1; last >= 0 && !inMessage {
			if m := repetition.FindStringSubmatch(line); m != nil {
				now.frames[last].repeated = m[1]
				continue
			}
			if strings.HasPrefix(line, "    ") {
				now.frames[last].text = append(now.frames[last].text, line[4:])
				continue
			}
		}
		inMessage = true
		now.message += line + "\n"
	}
	end()
	return all
}

// marked returns what of the frame's first line of text Python marked with carets: the columns from and to, in
// characters of the text; ok is false where it marked nothing.
func (f *frame) marked() (from, to int, ok bool) {
	if len(f.text) < 2 {
		return 0, 0, false
	}
	carets := f.text[1]
	if strings.Trim(carets, " ~^") != "" || !strings.ContainsAny(carets, "^~") {
		return 0, 0, false
	}
	from = strings.IndexAny(carets, "^~")
	return from, len(carets), true
}
