package ctl

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	text := "one\n\ntwo\r\nthree\nrest"
	for cut := 1; cut <= len(text); cut++ {
		l := lineReader{most: 5}
		var got []string
		for rest := text; rest != ""; {
			n := min(cut, len(rest))
			l.feed([]byte(rest[:n]))
			rest = rest[n:]
			for {
				line, err := l.next()
				if err != nil {
					t.Fatalf("cut at %d: %v", cut, err)
				}
				if line == nil {
					break
				}
				got = append(got, string(line))
			}
		}
		if want := []string{"one", "", "two\r", "three"}; !reflect.DeepEqual(got, want) {
			t.Errorf("cut at %d: %q", cut, got)
		}
	}
}

// TestLongLine: a line beyond the bound is an error before its end has come, and costs no more memory than that.
func TestLongLine(t *testing.T) {
	for _, text := range []string{"123456", "123456\n", "1234567890\nx"} {
		l := lineReader{most: 5}
		l.feed([]byte(text))
		if line, err := l.next(); err == nil || !strings.Contains(err.Error(), "more than 5 bytes") {
			t.Errorf("%q: %q, %v", text, line, err)
		}
	}
	l := lineReader{most: 5}
	l.feed([]byte("12345"))
	if line, err := l.next(); line != nil || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	l.feed([]byte("\n"))
	if line, err := l.next(); string(line) != "12345" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
}

func TestRequests(t *testing.T) {
	for _, r := range []Request{{Command: "status"}, {Command: "drain", Undo: true}, {Command: "kill", Worker: "2.3"}, {Command: "add", Count: 3}} {
		line, err := encode(r)
		if err != nil || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%v: %q, %v", r, line, err)
		}
		if got, err := decodeRequest(bytes.TrimSuffix(line, []byte("\n"))); err != nil || got != r {
			t.Errorf("%v became %v, %v", r, got, err)
		}
	}
	// A gateway that does not know --undo must not drain.
	for _, line := range []string{
		``, `{}`, `[]`, `null`, `"status"`, `{"command":"drain","undone":true}`, `{"command":"status"} x`, `{"command":7}`,
		`{"command":"add","count":"1"}`, `{"command":"status"`, `{"command":"status"}{"command":"kill"}`,
	} {
		if r, err := decodeRequest([]byte(line)); err == nil {
			t.Errorf("%s is %v", line, r)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, a := range []Answer{
		{Progress: "waiting"}, {OK: true, Result: json.RawMessage(`{"a":[1,2]}`)}, {OK: true}, {Error: "no\nreally", Traceback: "Traceback…\n  x\n"},
	} {
		line, err := encode(&a)
		if err != nil || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%v: %q, %v", a, line, err)
		}
		got, err := decodeAnswer(line)
		if err != nil || !reflect.DeepEqual(*got, a) || got.Last() != (a.Progress == "") {
			t.Errorf("%v became %v, %v", a, got, err)
		}
	}
	// A newer gateway may say more.
	if a, err := decodeAnswer([]byte(`{"ok":true,"since":"tomorrow"}`)); err != nil || !a.OK {
		t.Errorf("%v, %v", a, err)
	}
	if _, err := decodeAnswer([]byte(`HTTP/1.1 400`)); err == nil {
		t.Error("what is not JSON is an answer")
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"command":"drain","undo":true}`))
	f.Add([]byte(`{"command":"add","count":-1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := decodeRequest(line)
		if err != nil {
			return
		}
		again, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeRequest(again); err != nil || got != r {
			t.Errorf("%v became %v, %v", r, got, err)
		}
	})
}
