// Components measures parts of pyspeed-gw by themselves: components FOLDER SECONDS. It reads
// the inputs that benchmarks/components/inputs.py wrote to FOLDER, and prints a line of JSON
// for each part, with the nanoseconds per item and a digest of the result, which
// benchmarks/components/compare.py compares with the digests of the Python side.
// One goroutine; nothing of it is in the product.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// repeats is how many measurements share the seconds of a way; their median is told.
const repeats = 5

// way is one part at work on one input.
type way struct {
	component, input, name string
	work                   func() error           // once; its results may be overwritten by the next call
	canonical              func() ([]byte, error) // the result in the form in which both sides are compared
}

type line struct {
	Component string  `json:"component"`
	Input     string  `json:"input"`
	Way       string  `json:"way"`
	NS        float64 `json:"ns"`
	Result    string  `json:"result"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("cannot measure: usage: components FOLDER SECONDS")
	}
	seconds, err := strconv.ParseFloat(args[1], 64)
	if err != nil || seconds <= 0 {
		return fmt.Errorf("cannot measure: %q is no number of seconds", args[1])
	}
	read := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(args[0], name)) }
	var all []way
	for _, prepare := range []func(func(string) ([]byte, error)) ([]way, error){requests, answers, fastcgi, jsonTexts} {
		ways, err := prepare(read)
		if err != nil {
			return fmt.Errorf("cannot measure: %w", err)
		}
		all = append(all, ways...)
	}
	out := json.NewEncoder(os.Stdout)
	for _, w := range all {
		result, err := w.canonical()
		if err != nil {
			return fmt.Errorf("cannot measure %s, %s: %w", w.component, w.name, err)
		}
		ns, err := nanoseconds(w.work, time.Duration(seconds*float64(time.Second)))
		if err != nil {
			return fmt.Errorf("cannot measure %s, %s: %w", w.component, w.name, err)
		}
		if err := out.Encode(line{w.component, w.input, w.name, ns, digest(result)}); err != nil {
			return err
		}
	}
	return nil
}

// nanoseconds is the median time of one call, as timing.py takes it.
func nanoseconds(work func() error, budget time.Duration) (float64, error) {
	share := budget / repeats
	count := 1
	for {
		took, err := timed(work, count)
		if err != nil {
			return 0, err
		}
		if took >= share/4 {
			count = max(1, int(float64(count)*float64(share)/float64(took)))
			break
		}
		count *= 2
	}
	var each []float64
	for range repeats {
		took, err := timed(work, count)
		if err != nil {
			return 0, err
		}
		each = append(each, float64(took.Nanoseconds())/float64(count))
	}
	slices.Sort(each)
	return each[repeats/2], nil
}

func timed(work func() error, count int) (time.Duration, error) {
	began := time.Now()
	for range count {
		if err := work(); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

func digest(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])[:16]
}
