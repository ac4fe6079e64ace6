package compress

import (
	"slices"
	"strings"

	"pyspeed/gateway/exchange"
)

// Settings of a Filter.
type Settings struct {
	// Codings are what is offered, the most liked first; where the client likes several as much, the first is taken.
	Codings []Coding
	Levels  Levels
	// MinSize is the least length of a body that is worth it, where that is known, in bytes.
	MinSize int64
	// Types are media types, in lower case without parameters; "text/*" stands for all of a kind. None: DefaultTypes.
	Types []string
	// Except are path prefixes, in whole segments, whose answers are left alone.
	Except []string
}

// DefaultTypes are media types that get smaller.
func DefaultTypes() []string {
	return []string{
		"text/*", "application/json", "application/javascript", "application/xml", "application/xhtml+xml", "application/manifest+json",
		"application/problem+json", "application/ld+json", "application/vnd.api+json", "application/rss+xml", "application/atom+xml",
		"application/wasm", "application/x-ndjson", "image/svg+xml", "font/ttf", "font/otf",
	}
}

// Filter encodes the answers of a responder.
type Filter struct {
	Settings
	encoders encoders
}

// New makes a filter.
func New(s Settings) *Filter {
	if len(s.Types) == 0 {
		s.Types = DefaultTypes()
	}
	return &Filter{Settings: s, encoders: encoders{levels: s.Levels}}
}

// Wrap puts the filter around the answers of next.
func (f *Filter) Wrap(next exchange.Responder) exchange.Responder { return wrapped{f, next} }

type wrapped struct {
	*Filter
	next exchange.Responder
}

// Respond implements exchange.Responder.
func (f wrapped) Respond(x *exchange.Exchange) {
	if f.except(x.Request.Path) {
		f.next.Respond(x)
		return
	}
	w := newWriter(f.Filter, x)
	x.Writer = w
	f.next.Respond(x)
	// The edge looks at Source as the exchange's owner only, which it is as long as Respond runs, whether or not the
	// answer has begun, or ended, elsewhere meanwhile.
	w.Connect(x.Source)
	x.Source = w
}

func (f *Filter) except(path []byte) bool {
	return slices.ContainsFunc(f.Except, func(prefix string) bool {
		n := len(prefix)
		return len(path) >= n && string(path[:n]) == prefix && (len(path) == n || path[n] == '/' || n > 0 && prefix[n-1] == '/')
	})
}

// eligible is whether answers of that media type are encoded.
func (f *Filter) eligible(contentType []byte) bool {
	media, _ := exchange.Cut(contentType, ';')
	media = exchange.TrimOWS(media)
	kind, _ := exchange.Cut(media, '/')
	for _, t := range f.Types {
		if all, ok := strings.CutSuffix(t, "/*"); ok && equalFold(kind, all) || equalFold(media, t) {
			return true
		}
	}
	return false
}
