package scaling

import "time"

// Settings of a Policy.
type Settings struct {
	// CPUs is how many the workers can keep busy. Once they do, more of them would not answer more.
	CPUs float64
	// Memory is what all workers may have resident for another to be added; 0: any amount.
	Memory int64
	// Idle is how long fewer workers must suffice before one is taken away.
	Idle time.Duration
}

const (
	// Every is how far apart samples should be.
	Every = 250 * time.Millisecond
	// late is how long a request may wait for a worker; with longSeen samples of it in a row, more are needed.
	late     = 50 * time.Millisecond
	lateSeen = 2
	// window is how many samples the busyness is the mean of: one alone is chance, and the first of a worker says nothing.
	window = 4
	// busy is the share of what all workers can do above which one more is added; sufficient that of one fewer at which it
	// would suffice. Between them nothing changes, so that a change does not call for the opposite one.
	busy       = 0.9
	sufficient = 0.7
	// exhausted is the share of the CPUs above which these are what is short.
	exhausted = 0.8
	// slowest is how many times Settings.Idle the patience grows to while workers are taken away that are then missed.
	slowest = 8
	// missed is how many times the patience a worker that was taken away may be missed after.
	missed = 4
	// fullSeen is how many samples in a row must be over the memory before a worker is taken away for it.
	fullSeen = 8
)

// Reason says why the number of workers changes. It is a metric's label.
type Reason string

// The reasons.
const (
	Minimum Reason = "minimum"
	Maximum Reason = "maximum"
	Demand  Reason = "demand"
	Queue   Reason = "queue"
	Busy    Reason = "busy"
	Idle    Reason = "idle"
	Memory  Reason = "memory"
	Auto    Reason = "auto" // the others of "auto", now that the first one's size is known
)

// Words is the reason in words.
func (r Reason) Words() string { return words[r] }

var words = map[Reason]string{
	Minimum: "there are fewer than there must be", Maximum: "there are more than there may be",
	Demand: "a request has come", Queue: "requests wait", Busy: "all are busy", Idle: "fewer suffice",
	Memory: "they have more memory than they may", Auto: "there is memory for them",
}

// Decision is what should change.
type Decision struct {
	Change int // workers to add, or, negative, to take away
	Reason Reason
	// Short says that more workers are wanted, and there is no memory for them.
	Short bool
}

// Policy decides. It is not safe for concurrent use.
type Policy struct {
	Settings
	bounds Bounds

	recent  [window]load
	ready   int // workers in the last sample
	samples int // since that number changed; the last of them are in recent
	late    int // samples in a row
	full    int
	begun   bool
	came    uint64 // Sample.Requests of the last sample

	idleSince time.Duration
	patience  time.Duration
	shrunk    time.Duration // when a worker was last taken away for being idle
	regrets   bool          // a growth would be one of that
}

// New makes a policy.
func New(s Settings, b Bounds) *Policy { return &Policy{Settings: s, bounds: b, patience: s.Idle} }

// Bounds returns what SetBounds was given last.
func (p *Policy) Bounds() Bounds { return p.bounds }

// SetBounds changes the bounds; the next decision honours them.
func (p *Policy) SetBounds(b Bounds) { p.bounds = b }

// Configure changes the Settings.
func (p *Policy) Configure(s Settings) { p.Settings, p.patience = s, s.Idle }

// Pause forgets what was seen: what comes next has nothing to do with it, as after a reload.
func (p *Policy) Pause() {
	p.samples, p.late, p.full = 0, 0, 0
	p.begun = false
}

// Decide takes the next sample.
func (p *Policy) Decide(s Sample) Decision {
	quiet := p.observe(&s)
	n := s.Count
	switch b := p.bounds; {
	case n < b.Min:
		return p.grow(s.At, b.Min-n, Minimum)
	case n > b.Max:
		return Decision{Change: b.Max - n, Reason: Maximum}
	case n == 0 && (s.Waiting > 0 || s.Called):
		return p.grow(s.At, 1, Demand)
	case p.full >= fullSeen && n > max(b.Min, 1):
		p.full = 0
		return Decision{Change: -1, Reason: Memory}
	}
	if d := p.more(&s); d != (Decision{}) {
		return d
	}
	return p.fewer(&s, quiet)
}

// observe adds s to what is remembered; quiet is whether nothing came since the last sample, and nothing is under way.
func (p *Policy) observe(s *Sample) (quiet bool) {
	if !p.begun {
		p.begun = true
		p.idleSince, p.came = s.At, s.Requests
	}
	if len(s.Workers) != p.ready {
		p.samples, p.ready = 0, len(s.Workers)
	}
	p.recent[p.samples%window] = s.load()
	p.samples++
	if s.Waiting > 0 && s.Oldest >= late {
		p.late++
	} else {
		p.late = 0
	}
	if p.Settings.Memory > 0 && s.Memory > p.Settings.Memory {
		p.full++
	} else {
		p.full = 0
	}
	quiet = s.Requests == p.came && s.Waiting == 0 && !s.Called && s.inFlight() == 0
	p.came = s.Requests
	return quiet
}

// mean is that of the last samples.
func (p *Policy) mean() (l load) {
	n := min(p.samples, window)
	for i := range n {
		l.all += p.recent[i].all / float64(n)
		l.cpu += p.recent[i].cpu / float64(n)
	}
	return l
}

// more decides whether workers are added. While some are on their way nothing is: what they change is seen first.
func (p *Policy) more(s *Sample) Decision {
	n := s.Count
	room := p.bounds.Max - n
	if room <= 0 || s.coming() > 0 || n == 0 {
		return Decision{}
	}
	var want int
	var why Reason
	switch l := p.mean(); {
	case p.bounds.Eager:
		want, why = room, Auto
	case float64(n) >= p.CPUs && (p.samples <= window || l.cpu >= exhausted*p.CPUs):
		return Decision{}
	case p.late >= lateSeen:
		want, why = min(missing(s), n), Queue
	case p.samples > window && l.all >= busy*float64(n):
		want, why = 1, Busy
	default:
		return Decision{}
	}
	want = min(want, room)
	fits := p.fits(s, want)
	if fits == 0 {
		return Decision{Short: true}
	}
	return p.grow(s.At, fits, why)
}

// missing is how many workers more would run all that waits. The caller adds no more than there are: what a few do is seen
// before many start.
func missing(s *Sample) int {
	each := 0
	for i := range s.Workers {
		each = max(each, s.Workers[i].Threads)
	}
	if each == 0 {
		return s.Waiting // for loops that are held: each runs one at a time
	}
	return (s.Waiting + each - 1) / each
}

// fits is how many of want workers there is memory for, each as large as the largest is now.
func (p *Policy) fits(s *Sample, want int) int {
	if p.Settings.Memory == 0 || s.Largest <= 0 {
		return want
	}
	return int(min(max((p.Settings.Memory-s.Memory-s.Leaving)/s.Largest, 0), int64(want)))
}

func (p *Policy) grow(at time.Duration, n int, why Reason) Decision {
	if p.regrets && (why == Queue || why == Busy) && at-p.shrunk < missed*p.patience {
		// The worker that went is missed: the load comes and goes faster than that.
		p.patience = min(2*p.patience, slowest*p.Idle)
	}
	p.regrets = false
	p.late = 0
	p.idleSince = at
	return Decision{Change: n, Reason: why}
}

// fewer decides whether a worker is taken away.
func (p *Policy) fewer(s *Sample, quiet bool) Decision {
	n := s.Count
	least := p.bounds.Min
	if p.bounds.Eager {
		least = p.bounds.Max
	}
	left := len(s.Workers)
	if s.coming() == 0 {
		left--
	}
	enough := p.late == 0 && p.mean().all <= sufficient*float64(left)
	if n == 1 {
		enough = quiet
	}
	if n <= least || !enough {
		p.idleSince = s.At
		return Decision{}
	}
	if s.At-p.idleSince < p.patience {
		return Decision{}
	}
	if p.regrets { // and nothing was missed since the last one
		p.patience = max(p.patience/2, p.Idle)
	}
	p.regrets, p.shrunk = true, s.At
	p.idleSince = s.At
	return Decision{Change: -1, Reason: Idle}
}
