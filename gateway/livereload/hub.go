package livereload

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Settings say how pages are refreshed.
type Settings struct {
	// Browser is whether a script is added to HTML answers. Without it pages stay as they are; an ErrorPage
	// looks for its end all the same.
	Browser bool
	// Now is the clock of Exchange.Dispatched.
	Now func() time.Duration
	// Log gets a line when pages cannot be refreshed; nil: none.
	Log *slog.Logger
}

// Kind is what an Event tells.
type Kind uint8

const (
	// Replaced: new workers serve. To be told when no request is given to the old ones any more, and
	// before those are given on that were held meanwhile.
	Replaced Kind = iota
	// Changed: files changed that do not need new workers.
	Changed
	// Failed: the new code does not start.
	Failed
)

// Event is something that pages in browsers have to know.
type Event struct {
	Kind Kind
	// Paths are the files that changed and need no new workers, whether it is Changed that tells them or what else happened
	// as well. Their folders do not matter.
	Paths []string
	// Page is what is served from now on, for Failed; nil: the old code, and the pages stay.
	Page *ErrorPage
	// Text is what went wrong, in one line, for Failed without a Page.
	Text string
}

// Limits of what no one should need to set.
const (
	// kept is how many events a page may be behind; one that is more is loaded again.
	kept = 64
	// mostStreams is how many browsers may listen; tabs of one share a stream.
	mostStreams = 64
	// mostOwed is how much a browser may leave unread.
	mostOwed = 64 << 10
	// beat is how often something is sent, so that a connection that leads nowhere is noticed.
	beat = 15 * time.Second
)

// Hub tells browsers what changed. Its methods are safe for concurrent use.
type Hub struct {
	settings Settings
	log      *slog.Logger
	boot     string // tells this hub's events from those of one before a restart
	wake     chan struct{}
	hinted   atomic.Bool // it was logged that a page cannot be refreshed

	mu      sync.Mutex
	last    uint64  // number of the latest event
	events  []event // the latest ones, in order
	streams []*stream
	ended   bool
}

// event is an Event as it is kept and sent.
type event struct {
	number uint64
	at     time.Duration
	text   []byte // a message in JSON
}

// message is what the script gets; see reload.js.
type message struct {
	ID     string   `json:"id"`
	Reload bool     `json:"reload,omitempty"`
	Styles []string `json:"styles,omitempty"`
	Images []string `json:"images,omitempty"`
	Names  []string `json:"names,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// NewHub makes a hub. Run must be called for its streams to be served.
func NewHub(s Settings) *Hub {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	boot := make([]byte, 6)
	_, _ = rand.Read(boot) // never fails
	return &Hub{settings: s, log: s.Log, boot: hex.EncodeToString(boot), wake: make(chan struct{}, 1)}
}

// Broadcast tells all pages. It does not block.
func (h *Hub) Broadcast(e Event) {
	h.mu.Lock()
	h.last++
	var m message
	m.changed(e.Paths)
	switch {
	case e.Kind == Replaced:
		m.Reload = true
	case e.Kind == Failed && e.Page != nil:
		m.Reload = true
		e.Page.since.Store(h.last)
	case e.Kind == Failed:
		m.Error = e.Text
	}
	h.events = append(h.events, h.event(h.last, m))
	if len(h.events) > kept {
		h.events = slices.Delete(h.events, 0, len(h.events)-kept)
	}
	h.mu.Unlock()
	h.poke()
}

// changed sorts files by what a page does about them.
func (m *message) changed(paths []string) {
	for _, p := range paths {
		name := filepath.Base(p)
		switch strings.ToLower(filepath.Ext(name)) {
		case ".css":
			m.Styles = append(m.Styles, name)
		case ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".avif", ".ico", ".bmp":
			m.Images = append(m.Images, name)
		default:
			m.Names = append(m.Names, name)
			m.Reload = true
		}
	}
	for _, list := range []*[]string{&m.Styles, &m.Images, &m.Names} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// event makes the event of a number.
func (h *Hub) event(number uint64, m message) event {
	m.ID = h.position(number)
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and a bool
	}
	return event{number, h.settings.Now(), text}
}

// position is how pages name an event.
func (h *Hub) position(number uint64) string {
	return h.boot + "." + strconv.FormatUint(number, 10)
}

// now is the position of the latest event.
func (h *Hub) now() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// asOf is the number of the event that was the latest at t; 0 where that is not known any more.
func (h *Hub) asOf(t time.Duration) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := len(h.events)
	for i > 0 && h.events[i-1].at > t {
		i--
	}
	if i == 0 && uint64(len(h.events)) < h.last {
		return 0
	}
	return h.last - uint64(len(h.events)-i)
}

// since returns the events behind a position, and the number of the last of them. A position that is
// of another hub, or too old, is answered by one that loads the page again. With h.mu held.
func (h *Hub) since(position string) (list []event, last uint64) {
	boot, text, _ := strings.Cut(position, ".")
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil || boot != h.boot || number > h.last || h.last-number > uint64(len(h.events)) {
		return []event{h.event(h.last, message{Reload: true})}, h.last
	}
	return h.behind(number), h.last
}

// behind returns the events after a number. With h.mu held.
func (h *Hub) behind(number uint64) []event {
	i := len(h.events)
	for i > 0 && h.events[i-1].number > number {
		i--
	}
	return slices.Clone(h.events[i:])
}

// poke makes Run look at the streams.
func (h *Hub) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Run writes to the streams until ctx ends, and then ends them. It blocks.
func (h *Hub) Run(ctx context.Context) {
	t := time.NewTicker(beat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			h.end()
			return
		case <-t.C:
			h.write(true)
		case <-h.wake:
			h.write(false)
		}
	}
}

// write sends the streams what they have not seen, and forgets those that ended.
func (h *Hub) write(beat bool) {
	h.mu.Lock()
	all := slices.Clone(h.streams)
	h.mu.Unlock()
	for _, s := range all {
		if !s.write(beat) {
			h.mu.Lock()
			h.streams = slices.DeleteFunc(h.streams, func(o *stream) bool { return o == s })
			h.mu.Unlock()
		}
	}
}

// end ends the streams, and takes no more.
func (h *Hub) end() {
	h.mu.Lock()
	h.ended = true
	all := h.streams
	h.streams = nil
	h.mu.Unlock()
	for _, s := range all {
		s.end()
	}
}
