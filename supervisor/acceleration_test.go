package supervisor

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"pyspeed/fcgi/marshal"
)

func TestAcceleration(t *testing.T) {
	told := func(fields ...any) Acceleration {
		e := event{{Key: "event", Value: "ready"}}
		for i := 0; i < len(fields); i += 2 {
			e = append(e, marshal.Item{Key: fields[i], Value: fields[i+1]})
		}
		return acceleration(e)
	}
	if a := told(); a.Asked {
		t.Error("a worker without the option has been asked")
	}
	for want, a := range map[string]Acceleration{
		"json.accelerate: accelerates one, two":                                   told("accelerate", true, "accelerated", marshal.List{"one", "two"}),
		"json.accelerate: accelerates one; once it is imported two; three is not": told("accelerate", true, "accelerated", marshal.List{"one"}, "accelerated_later", marshal.List{"two"}, "not_accelerated", marshal.List{"three is not"}),
		"json.accelerate: no orjson":                                              told("accelerate", true, "not_accelerated", marshal.List{"no orjson"}),
	} {
		if !a.Asked || a.String() != want {
			t.Errorf("%+v is %q, want %q", a, a, want)
		}
	}
	if s := told("accelerate", true).String(); !strings.Contains(s, "finds nothing") {
		t.Error(s)
	}
}

// TestAccelerationIsToldOnce: workers that find the same are one message.
func TestAccelerationIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	s := &Supervisor{}
	tell := func(a Acceleration) string {
		log.Reset()
		s.tellAcceleration(&Worker{Info: ReadyInfo{Acceleration: a}, log: slog.New(slog.NewTextHandler(&log, nil))})
		return log.String()
	}
	found := Acceleration{Asked: true, Done: []string{"one"}}
	missing := Acceleration{Asked: true, Not: []string{"no orjson"}}
	if out := tell(Acceleration{}); out != "" {
		t.Error(out)
	}
	if out := tell(found); !strings.Contains(out, "level=INFO") {
		t.Error(out)
	}
	if out := tell(found); out != "" {
		t.Error(out)
	}
	if out := tell(missing); !strings.Contains(out, "level=WARN") || !strings.Contains(out, "no orjson") {
		t.Error(out)
	}
	if out := tell(found); out == "" {
		t.Error("what is found again after a reload is not told")
	}
}
