package supervisor

import "strings"

// Acceleration is what a worker with json.accelerate has found, each thing in words.
type Acceleration struct {
	Asked bool
	Done  []string
	Later []string // once the application imports it
	Not   []string // and why not
}

func acceleration(e event) Acceleration {
	if !e.flag("accelerate") {
		return Acceleration{}
	}
	return Acceleration{
		Asked: true, Done: e.texts("accelerated"), Later: e.texts("accelerated_later"), Not: e.texts("not_accelerated"),
	}
}

// String is one line for logs and for the command check.
func (a Acceleration) String() string {
	var parts []string
	if len(a.Done) > 0 {
		parts = append(parts, "accelerates "+strings.Join(a.Done, ", "))
	}
	if len(a.Later) > 0 {
		parts = append(parts, "once it is imported "+strings.Join(a.Later, ", "))
	}
	parts = append(parts, a.Not...)
	if len(parts) == 0 {
		return "json.accelerate finds nothing to accelerate: the application imports neither Flask 2.2 or later, Starlette, FastAPI, Django nor Django REST framework"
	}
	return "json.accelerate: " + strings.Join(parts, "; ")
}

// tellAcceleration logs what a worker has found, unless that is what the one before had found.
func (s *Supervisor) tellAcceleration(w *Worker) {
	a := w.Info.Acceleration
	if !a.Asked {
		return
	}
	text := a.String()
	if before := s.accelerated.Swap(&text); before != nil && *before == text {
		return
	}
	if len(a.Not) > 0 {
		w.log.Warn(text)
	} else {
		w.log.Info(text)
	}
}
