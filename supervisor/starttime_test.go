package supervisor

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPartsOfAStart(t *testing.T) {
	f := func(target string, importing, lifespan time.Duration, summary, killed string) {
		t.Helper()
		t.Run(target, func(t *testing.T) {
			z := newZoo(t, target, 1, func(s *Settings) {
				s.ImportTimeout, s.LifespanTimeout = importing, lifespan
			})
			got, ok := errors.AsType[*StartupError](z.Start(deadline(t)))
			if !ok {
				t.Fatal("Start did not fail")
			}
			if got.ExitCode != ExitCannotStart || got.Stage != "timeout" || !strings.Contains(got.Summary, summary) {
				t.Errorf("Start: %+v", got)
			}
			z.log.wants(t, "in stuck worker=1")
			if cause := z.slots[1].workers[0].cause.Error(); !strings.HasSuffix(cause, killed) {
				t.Errorf("it ended because %s", cause)
			}
		})
	}
	const never = 0
	f("hangs in import", 100*time.Millisecond, never,
		"did not become ready within 100ms: it was importing hangs in import, and its stack is in the log; raise app.import_timeout if it only needs longer",
		"was killed: it was not ready after 100ms: it was importing hangs in import (app.import_timeout is 100ms)")
	f("hangs in import, hook post_fork, import", 100*time.Millisecond, never,
		"raise app.import_timeout", "(app.import_timeout is 100ms)")
	f("hangs in import, hook post_worker_init, lifespan", time.Hour, 100*time.Millisecond,
		"it was waiting for the application's lifespan startup, and its stack is in the log; raise app.lifespan_timeout",
		"(app.lifespan_timeout is 100ms)")
}

func TestWhatAStartWasDoing(t *testing.T) {
	clock := newStartTime(&Launch{StartupTimeout: time.Hour, Start: map[string]any{"target": "shop:app"}})
	defer clock.stop()
	f := func(next stage, want string) {
		t.Helper()
		clock.enter(next)
		if reason, summary := clock.exceeded(&Worker{ID: "1"}, false); !strings.Contains(reason, want) || !strings.Contains(summary, want) ||
			!strings.Contains(summary, "raise workers.startup_timeout") {
			t.Errorf("%+v: %s; %s", next, reason, summary)
		}
	}
	f(stage{}, "it was starting Python")
	f(stage{name: "import"}, "it was importing shop:app")
	f(stage{name: "hook", what: "post_fork"}, "it was running the application's hook post_fork")
	f(stage{name: "serve"}, "it was preparing to serve the application")
	f(stage{name: "lifespan"}, "it was waiting for the application's lifespan startup")
	f(stage{name: "warmup", what: "/first was not answered"}, "it was being warmed up: /first was not answered")
}

// The time of an import goes on after a hook in the middle of it, which has none of its own.
func TestImportTimeIsOneSum(t *testing.T) {
	clock := newStartTime(&Launch{ImportTimeout: time.Hour})
	defer clock.stop()
	clock.enter(stage{name: "import"})
	clock.entered = clock.entered.Add(-40 * time.Minute)
	clock.enter(stage{name: "hook", what: "post_fork"})
	clock.entered = clock.entered.Add(-40 * time.Minute)
	clock.enter(stage{name: "import"})
	if spent := clock.spent["import"].Round(time.Minute); spent != 40*time.Minute {
		t.Errorf("the import has taken %v", spent)
	}
	clock.again()
	if spent := clock.spent["import"].Round(time.Minute); spent != 0 {
		t.Errorf("the import has taken %v once the clock began anew", spent)
	}
}

func TestStartIsDebugged(t *testing.T) {
	z := newZoo(t, "is debugged while it starts", 1, func(s *Settings) { s.ImportTimeout = 50 * time.Millisecond })
	z.mustStart(t)
}
