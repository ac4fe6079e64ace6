package supervisor

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Launch says what a generation of workers is started from.
type Launch struct {
	Python    string   // path, or name to find on PATH
	Directory string   // the workers' working directory, absolute; "" for the gateway's
	Env       []string // KEY=VALUE, added to the gateway's environment
	// Start is the `start` message of docs/internals.md without cmd and worker_id. Where it names a directory, that
	// becomes Directory, without symbolic links.
	Start map[string]any
	// Count is the number of workers; at a reload 0 keeps as many as there are.
	Count int
	// Overlap is how many workers of this generation are started beside those of the one before at once; 0: all.
	Overlap int
	Warmup  []string // paths that a worker is asked for before it serves
	// Spare has a process wait for each slot's next launch, with all imported that is not the application's.
	Spare bool
	// Preload has one process import the application and fork the workers, on Linux.
	Preload bool
	// StartupTimeout is how long a worker may take until it serves; 0: 60 s.
	StartupTimeout time.Duration
	// ImportTimeout and LifespanTimeout bound parts of that; 0: no bound of their own.
	ImportTimeout, LifespanTimeout time.Duration
	// ShutdownTimeout is how long a worker may take to finish its requests and
	// exit; 0: 30 s.
	ShutdownTimeout time.Duration
	// DrainTimeout is the same for a worker whose successor serves already; 0: ShutdownTimeout.
	DrainTimeout time.Duration
	// When a worker is replaced; 0: not for that.
	MaxRequests       int
	MaxRequestsJitter int           // most that is added to MaxRequests, at random for each worker
	MaxLifetime       time.Duration // up to a tenth less, at random
	MaxRSS            int64         // bytes
}

// generation is one Launch as its workers see it: a symbolic link to a release is followed once, so that a
// worker which is replaced later runs the same code as the others.
type generation struct {
	Launch
	asked  Launch // with the links
	number int
	zygote *zygote // nil: every worker imports the application by itself
}

// newGeneration looks at the file system. Its error is a *StartupError.
func (s *Supervisor) newGeneration(l Launch) (*generation, error) {
	if l.StartupTimeout <= 0 {
		l.StartupTimeout = 60 * time.Second
	}
	if l.ShutdownTimeout <= 0 {
		l.ShutdownTimeout = 30 * time.Second
	}
	g := &generation{Launch: l, asked: l}
	if !s.attached() {
		if err := g.resolve(); err != nil {
			return nil, &StartupError{ExitCode: ExitCannotStart, Stage: "spawn", Summary: err.Error()}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generations++
	g.number = s.generations
	if l.Preload && !s.attached() {
		if err := inheritDescendants(); err != nil {
			s.log.Warn("every worker imports the application by itself: workers.preload cannot be used here: " + err.Error())
			return g, nil
		}
		g.zygote = &zygote{supervisor: s, generation: g}
		s.zygotes = append(s.zygotes, g.zygote)
	}
	return g, nil
}

// resolve makes the paths those of this generation for good.
func (g *generation) resolve() error {
	python, err := exec.LookPath(g.Python)
	if err == nil {
		// Absolute, as the worker starts in another directory; its last part is not resolved, because a
		// virtual environment is known by its symbolic link.
		python, err = filepath.Abs(python)
	}
	if err != nil {
		return fmt.Errorf("cannot find Python: %w; set app.python", err)
	}
	g.Python = python
	if g.Directory == "" {
		return nil
	}
	dir, err := filepath.EvalSymlinks(g.Directory)
	if info, statErr := os.Stat(dir); err != nil || statErr != nil || !info.IsDir() {
		return fmt.Errorf("%s is not a directory that can be used; set app.directory", g.Directory)
	}
	g.Python = withRelease(python, g.Directory)
	if _, named := g.Start["directory"]; named {
		g.Start = maps.Clone(g.Start)
		g.Start["directory"] = dir
	}
	g.Directory = dir
	return nil
}

// withRelease follows the links in what path has in common with the application's directory: an
// environment in the release that `current` points to stays that release's.
func withRelease(path, directory string) string {
	common := directory
	for common != "/" && !strings.HasPrefix(path, common+"/") {
		common = filepath.Dir(common)
	}
	resolved, err := filepath.EvalSymlinks(common)
	if err != nil || common == "/" {
		return path
	}
	return filepath.Join(resolved, strings.TrimPrefix(path, common))
}

// maxRequests is one worker's limit; 0: none.
func (g *generation) maxRequests() int {
	if g.MaxRequests <= 0 || g.MaxRequestsJitter <= 0 {
		return g.MaxRequests
	}
	return g.MaxRequests + rand.IntN(g.MaxRequestsJitter+1)
}

// lifetime is one worker's limit; 0: none.
func (g *generation) lifetime() time.Duration {
	return time.Duration(float64(g.MaxLifetime) * (1 - rand.Float64()/10))
}
