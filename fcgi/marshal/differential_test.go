package marshal_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"pyspeed/fcgi/marshal"
)

// python returns the interpreter to compare with.
func python() string {
	if path := os.Getenv("PYSPEED_TEST_PYTHON"); path != "" {
		return path
	}
	return "python3"
}

// TestCPython compares with the marshal module: what we encode it must read as
// we meant it, and what it encodes we must read as it meant it.
func TestCPython(t *testing.T) {
	r, seed := newRand(t)
	var ours []marshal.Value
	var in []byte
	const most = 1 << 15
	for len(ours) < 400 {
		v := randomValue(r, 4)
		encoded := appendValue(nil, v)
		if len(encoded) > most {
			continue
		}
		ours = append(ours, v)
		in = binary.LittleEndian.AppendUint32(in, uint32(len(encoded)))
		in = append(in, encoded...)
	}
	cmd := exec.CommandContext(t.Context(), python(), "-I", "testdata/oracle.py", fmt.Sprint(seed), "400")
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot run %s: %v; name another Python in PYSPEED_TEST_PYTHON\n%s", python(), err, &stderr)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(ours)+400 {
		t.Fatalf("CPython answered %d lines", len(lines))
	}
	for i, v := range ours {
		if want := show(v); lines[i] != want {
			t.Errorf("CPython reads ours as %s, want %s", lines[i], want)
		}
	}
	for _, line := range lines[len(ours):] {
		want, digits, _ := strings.Cut(line, " ")
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		v, n, err := marshal.Decode(append(b, "trailing"...), marshal.Limits{})
		if err != nil || n != len(b) || show(v) != want {
			t.Errorf("CPython's %s is read as %s, %d bytes of %d, error %v", want, show(v), n, len(b), err)
		}
		for cut := 0; cut < len(b); cut += 1 + len(b)/50 {
			if _, _, err := marshal.Decode(b[:cut:cut], marshal.Limits{}); err == nil {
				t.Errorf("%d of %d bytes of CPython's %s give no error", cut, len(b), want)
			}
		}
	}
}
