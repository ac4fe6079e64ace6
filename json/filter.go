package jsonpass

import (
	"slices"
	"sync"

	"pyspeed/gateway/exchange"
)

// Settings of a Filter. Paths are prefixes in whole segments.
type Settings struct {
	Engine   Engine
	Reencode []string // paths whose JSON answers are written anew
	SortKeys []string // paths whose JSON answers are written anew with sorted keys
	Validate []string // paths whose JSON request bodies are looked at before the responder has them
	Except   []string // paths that are left alone
	// MaxSize is the longest text that is looked at, in bytes.
	MaxSize int64
	// Budget is what texts count against that are gathered until they are whole.
	Budget *exchange.Budget
	// Answered and Asked count outcomes, of AnswerOutcomes and RequestOutcomes. Called on any goroutine; they must not block.
	Answered, Asked func(outcome string)
	// Failed is told of an answer that was gathered and whose head cannot be sent; the client gets 500. As Answered.
	Failed func(error)
}

// What becomes of the texts of answers, each line of a stream being one, and of request bodies.
const (
	outcomeRewritten = "rewritten"
	outcomeUnchanged = "unchanged" // it was as it would have been written
	outcomeInvalid   = "invalid"   // an answer that passed as it was, or a request that got 400
	outcomeTooLarge  = "too_large" // it passed without a look
	outcomeValid     = "valid"
)

// AnswerOutcomes are what Settings.Answered is called with.
func AnswerOutcomes() []string {
	return []string{outcomeRewritten, outcomeUnchanged, outcomeInvalid, outcomeTooLarge}
}

// RequestOutcomes are what Settings.Asked is called with.
func RequestOutcomes() []string { return []string{outcomeValid, outcomeInvalid, outcomeTooLarge} }

// Filter handles the JSON of exchanges.
type Filter struct {
	Settings
	buffers sync.Pool // of *[]byte
}

// New makes a filter.
func New(s Settings) *Filter { return &Filter{Settings: s} }

// Wrap puts the filter around the answers of next, and before it.
func (f *Filter) Wrap(next exchange.Responder) exchange.Responder {
	if len(f.Reencode)+len(f.SortKeys) > 0 {
		next = answers{f, next}
	}
	if len(f.Validate) > 0 {
		next = requests{f, next}
	}
	return next
}

// answers has the answers of next written anew.
type answers struct {
	*Filter
	next exchange.Responder
}

// Respond implements exchange.Responder.
func (f answers) Respond(x *exchange.Exchange) {
	path := x.Request.Path
	sort := below(f.SortKeys, path)
	if !sort && !below(f.Reencode, path) || below(f.Except, path) {
		f.next.Respond(x)
		return
	}
	w := &writer{f: f.Filter, out: x.Writer, head: string(x.Request.Method) == "HEAD", sort: sort}
	x.Writer = w
	f.next.Respond(x)
	// The edge looks at Source as the exchange's owner only, which it is as long as Respond runs, whether or not the
	// answer has begun, or ended, elsewhere meanwhile.
	w.Connect(x.Source)
	x.Source = w
}

// below is whether path is one of the prefixes, or below one.
func below(prefixes []string, path []byte) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		n := len(prefix)
		return len(path) >= n && string(path[:n]) == prefix && (len(path) == n || path[n] == '/' || n > 0 && prefix[n-1] == '/')
	})
}

// largestBuffer is how large one may be that is kept for later.
const largestBuffer = 1 << 20

func (f *Filter) get() *[]byte {
	if b, ok := f.buffers.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

func (f *Filter) put(b *[]byte) {
	if b != nil && cap(*b) <= largestBuffer {
		*b = (*b)[:0]
		f.buffers.Put(b)
	}
}

// room is whether a text that is gathered may have n bytes, more of which it has not been given yet.
func (f *Filter) room(n, more int) bool {
	return int64(n) <= f.MaxSize && (f.Budget == nil || int64(more) <= f.Budget.Left()/2)
}
