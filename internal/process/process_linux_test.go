package process

import (
	"errors"
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	f := func(name, data string, want Usage, wantErr error) {
		t.Helper()
		got, err := parseStat([]byte(data), 4096)
		if got != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: got %+v, %v; want %+v, %v", name, got, err, want, wantErr)
		}
	}
	const tail = " S 1 42 42 0 -1 4194560 1 0 0 0 150 25 7 8 20 0 5 0 1000 99999999 2048 18446744073709551615 1 1\n"
	want := Usage{CPU: 1750 * time.Millisecond, Resident: 8 << 20}
	f("plain", "42 (python3)"+tail, want, nil)
	f("a name with spaces and parentheses", "42 (a) S 1 (b) 2)"+tail, want, nil)
	f("nothing", "", Usage{}, errFormat)
	f("cut off", "42 (python3) S 1 42 42 0 -1 4194560 1 0 0 0 150 25", Usage{}, errFormat)
	f("no number", "42 (x) S 1 42 42 0 -1 4194560 1 0 0 0 many 25 7 8 20 0 5 0 1000 99999999 2048 1\n", Usage{}, errFormat)
}

func TestParsePSS(t *testing.T) {
	f := func(name, data string, want int64, wantErr error) {
		t.Helper()
		if got, err := parsePSS([]byte(data)); got != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: got %v, %v; want %v, %v", name, got, err, want, wantErr)
		}
	}
	const head = "00400000-7ffc0000 ---p 00000000 00:00 0    [rollup]\nRss:   29000 kB\n"
	f("plain", head+"Pss:                9001 kB\nPss_Dirty:  1 kB\n", 9001<<10, nil)
	f("no such line", head, 0, errFormat)
	f("another unit", head+"Pss: 9 MB\n", 0, errFormat)
	f("no number", head+"Pss: -9 kB\n", 0, errFormat)
}

func TestOneself(t *testing.T) {
	before, err := Look(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	share, err := Share(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if before.Resident < 1<<20 || share < 1<<19 || share > 2*before.Resident {
		t.Errorf("%d bytes resident, a share of %d", before.Resident, share)
	}
	over := time.Now().Add(time.Minute)
	for {
		now, err := Look(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now.CPU > before.CPU {
			return
		}
		if time.Now().After(over) {
			t.Fatalf("no CPU time in a minute of work: %v", now.CPU)
		}
	}
}

func TestNobody(t *testing.T) {
	if _, err := Look(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Look: %v", err)
	}
	if _, err := Share(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Share: %v", err)
	}
}
