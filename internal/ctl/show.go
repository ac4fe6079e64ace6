package ctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// show prints a result for people. The error is for one that tells of a failure.
func show(w io.Writer, r Request, result json.RawMessage) error {
	var b bytes.Buffer
	var err error
	switch r.Command {
	case "status":
		err = showAs(&b, result, (*Status).show)
	case "workers":
		err = showAs(&b, result, func(list *[]Worker, b *bytes.Buffer) { showWorkers(*list, b) })
	case "reload":
		err = showAs(&b, result, (*Reloaded).show)
	case "drain":
		err = showAs(&b, result, (*Drained).show)
	case "add", "remove":
		err = showAs(&b, result, (*Scaled).show)
	case "dump":
		err = showAs(&b, result, (*Dumped).show)
	case "kill":
		err = showAs(&b, result, func(k *Killed, b *bytes.Buffer) { fmt.Fprintf(b, "worker %s (pid %d) was killed\n", k.Worker, k.PID) })
	case "purge":
		err = showAs(&b, result, func(p *Purged, b *bytes.Buffer) {
			what := "answers were"
			if p.Answers == 1 {
				what = "answer was"
			}
			fmt.Fprintf(b, "%d %s removed from the cache\n", p.Answers, what)
		})
	}
	if err != nil {
		return err
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("cannot print the result: %w", err)
	}
	return failed(r, result)
}

func showAs[T any](b *bytes.Buffer, result json.RawMessage, show func(*T, *bytes.Buffer)) error {
	var v T
	if err := json.Unmarshal(result, &v); err != nil {
		return fmt.Errorf("cannot understand the gateway's answer: %w", err)
	}
	show(&v, b)
	return nil
}

// failed is for results that tell of a failure in part.
func failed(r Request, result json.RawMessage) error {
	if r.Command == "purge" {
		var p Purged
		if err := json.Unmarshal(result, &p); err == nil && p.Pending != "" {
			return errors.New(p.Pending)
		}
	}
	if r.Command != "dump" {
		return nil
	}
	var d Dumped
	if err := json.Unmarshal(result, &d); err != nil || len(d.Failed) == 0 {
		return nil
	}
	var all []string
	for _, id := range slices.Sorted(maps.Keys(d.Failed)) {
		all = append(all, d.Failed[id])
	}
	return errors.New(strings.Join(all, "; "))
}

func (s *Status) show(b *bytes.Buffer) {
	state := s.State
	if s.Reason != "" {
		state += ": " + s.Reason
	}
	if s.Reloading {
		state += ", reloading"
	}
	fmt.Fprintf(b, "pyspeed-gw %s, pid %d, up %s\n", s.Version, s.PID, span(s.Uptime))
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-13s"+format+"\n", append([]any{name}, args...)...)
	}
	line("state", "%s", state)
	if len(s.Addresses) > 0 {
		line("addresses", "%s", strings.Join(s.Addresses, ", "))
	}
	if s.Admin != "" {
		line("admin", "%s", s.Admin)
	}
	bounds := ""
	if s.Workers.Min != s.Workers.Max {
		bounds = fmt.Sprintf(" (from %d to %d)", s.Workers.Min, s.Workers.Max)
	}
	line("workers", "%d of %d ready%s, generation %d", s.Workers.Ready, s.Workers.Wanted, bounds, s.Generation)
	var classes []string
	for _, class := range slices.Sorted(maps.Keys(s.Requests.ByStatus)) {
		if n := s.Requests.ByStatus[class]; n > 0 {
			classes = append(classes, fmt.Sprintf("%s %d", class, n))
		}
	}
	ended := ""
	if len(classes) > 0 {
		ended = " (" + strings.Join(classes, ", ") + ")"
	}
	line("requests", "%d ended%s, %d in workers", s.Requests.Total, ended, s.Requests.InFlight)
	line("queue", "%d of at most %d", s.Queue.Now, s.Queue.Most)
	line("connections", "%d of at most %d", s.Clients.Now, s.Clients.Most)
	line("memory", "gateway %s, workers %s", mebibytes(s.Memory.Gateway), mebibytes(s.Memory.Workers))
}

func showWorkers(list []Worker, b *bytes.Buffer) {
	table := []byte("ID\tPID\tSTATE\tGENERATION\tAGE\tREQUESTS\tIN FLIGHT\tRSS\tREASON\n")
	for _, w := range list {
		table = fmt.Appendf(table, "%s\t%d\t%s\t%d\t%s\t%d\t%d\t%s\t%s\n", w.ID, w.PID, w.State, w.Generation, span(w.Age), w.Requests, w.InFlight,
			mebibytes(w.RSS), w.Reason)
	}
	var aligned bytes.Buffer
	t := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	_, _ = t.Write(table) // both into memory
	_ = t.Flush()
	for line := range strings.Lines(aligned.String()) { // a column that is empty at the end leaves blanks
		fmt.Fprintln(b, strings.TrimRight(line, " \n"))
	}
}

func (r *Reloaded) show(b *bytes.Buffer) {
	fmt.Fprintf(b, "reloaded: generation %d serves\n", r.Generation)
	if len(r.Applied) > 0 {
		fmt.Fprintf(b, "changed: %s\n", strings.Join(r.Applied, ", "))
	}
	if len(r.Restart) > 0 {
		fmt.Fprintf(b, "changed, and not in effect until pyspeed-gw is started anew: %s\n", strings.Join(r.Restart, ", "))
	}
}

func (d *Drained) show(b *bytes.Buffer) {
	switch {
	case d.Worker != "":
		fmt.Fprintf(b, "worker %s will be replaced: first its successor gets ready, then its requests end\n", d.Worker)
	case d.Drained:
		fmt.Fprintln(b, "drained: /ready says no, and connections end with their next answers; drain --undo takes it back")
	default:
		fmt.Fprintln(b, "no longer drained")
	}
}

func (s *Scaled) show(b *bytes.Buffer) {
	if s.Min == s.Max {
		fmt.Fprintf(b, "%s from now on\n", plural(s.Max, "worker"))
	} else {
		fmt.Fprintf(b, "from %d to %d workers from now on, as the load asks for\n", s.Min, s.Max)
	}
}

func (d *Dumped) show(b *bytes.Buffer) {
	switch len(d.Dumped) {
	case 0:
	case 1:
		fmt.Fprintf(b, "the stacks of worker %s are in %s\n", d.Dumped[0], d.Log)
	default:
		fmt.Fprintf(b, "the stacks of workers %s are in %s\n", strings.Join(d.Dumped, ", "), d.Log)
	}
}

// span shows seconds as people say them.
func span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	const day = 24 * time.Hour
	switch {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 2*day:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

func mebibytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
