package ratelimit

import (
	"strconv"
	"strings"
	"sync"

	"pyspeed/gateway/exchange"
)

// hit is a rule that a request is counted by.
type hit struct {
	rule    *rule
	subject subject
	key     key
	state   state
	taken   bool // a token, here or in Redis
	ask     bool // Redis has to say
	decided bool
}

// visit is one request's way through the rules, and the Writer that adds their fields to its answer. Of a pool: it goes back before
// the exchange ends, or when nothing is to be added.
type visit struct {
	limited *limited
	now     int64
	hits    []hit
	refused *hit // nil: it may pass
	gone    bool // nobody waits for an answer

	out    exchange.Writer
	fields []exchange.Field
	text   []byte // what fields point to
}

var visits = sync.Pool{New: func() any { return new(visit) }}

func newVisit(l *limited) *visit {
	v := visits.Get().(*visit)
	v.limited = l
	return v
}

// release gives a visit back. What it pointed to belongs to others.
func (v *visit) release() {
	clear(v.hits)
	clear(v.fields)
	*v = visit{hits: v.hits[:0], fields: v.fields[:0], text: v.text[:0]}
	visits.Put(v)
}

// decide counts the request by the rules whose buckets are here; true: Redis has to be asked about the rest.
func (v *visit) decide() (ask bool) {
	for i := range v.hits {
		h := &v.hits[i]
		if !h.rule.Shared {
			v.take(h)
		} else if !v.limited.asker.store.Up() {
			h.rule.state.local.Add(1)
			v.take(h)
		} else if h.state = h.rule.state.table.look(h.key, v.now); h.state.level < h.state.rate.cost() && !h.rule.LogOnly {
			// Nobody else can have given anything back, so that Redis would say the same.
			h.decided = true
			v.refuse(h)
		} else {
			h.ask, ask = true, true
		}
		if v.refused != nil {
			return false
		}
	}
	return ask
}

// take counts the request by one rule here.
func (v *visit) take(h *hit) {
	h.state = h.rule.state.table.take(h.key, v.now)
	h.taken, h.decided = h.state.taken, true
	if !h.taken && !h.rule.LogOnly {
		v.refuse(h)
	}
}

// refuse ends the counting: a request that is refused takes nothing from any bucket.
func (v *visit) refuse(h *hit) {
	v.refused = h
	for i := range v.hits {
		if o := &v.hits[i]; o.taken {
			o.taken = false
			o.state = o.rule.state.table.giveBack(o.key, v.now)
		}
	}
}

// decideHere is for what Redis was asked, and has not said.
func (v *visit) decideHere() {
	for i := range v.hits {
		if h := &v.hits[i]; h.ask && v.refused == nil {
			h.ask = false
			h.rule.state.local.Add(1)
			v.take(h)
		}
	}
}

// Respond implements exchange.Responder: it does what was decided.
func (v *visit) Respond(x *exchange.Exchange) {
	fields := v.count(x)
	switch {
	case v.gone:
		v.release()
		x.Source = complete{}
		x.Writer.Abort(0, "")
	case v.refused != nil:
		v.answer(x)
	case fields:
		v.out = x.Writer
		x.Writer = v
		v.limited.next.Respond(x)
	default:
		next := v.limited.next
		v.release()
		next.Respond(x)
	}
}

// count counts what was decided for the metrics, and makes the fields of the answer.
func (v *visit) count(x *exchange.Exchange) (fields bool) {
	for i := range v.hits {
		h := &v.hits[i]
		st := h.rule.state
		switch {
		case h == v.refused:
			st.limited.Add(1)
		case !h.decided || v.refused != nil:
			continue // another rule has refused it
		case h.taken:
			st.allowed.Add(1)
		default:
			st.wouldLimit.Add(1)
			v.limited.told(h.rule, &h.subject, x, v.now)
		}
	}
	return v.write()
}

// write makes the fields RateLimit-Policy and RateLimit; false: no rule wants them.
func (v *visit) write() bool {
	n := 0
	for i := range v.hits {
		if h := &v.hits[i]; h.shown() {
			if n++; n > 1 {
				v.text = append(v.text, ", "...)
			}
			v.text = append(v.text, h.rule.policy...)
		}
	}
	if n == 0 {
		return false
	}
	policy := len(v.text)
	n = 0
	for i := range v.hits {
		if h := &v.hits[i]; h.shown() {
			if n++; n > 1 {
				v.text = append(v.text, ", "...)
			}
			requests, seconds := h.state.rate.left(h.state.level)
			v.text = append(append(append(v.text, '"'), h.rule.Name...), `";r=`...)
			v.text = append(strconv.AppendInt(v.text, requests, 10), ";t="...)
			v.text = strconv.AppendInt(v.text, seconds, 10)
		}
	}
	v.fields = append(v.fields, exchange.Field{Name: namePolicy, Value: v.text[:policy]}, exchange.Field{Name: nameLimit, Value: v.text[policy:]})
	return true
}

// shown is whether answers tell of the rule.
func (h *hit) shown() bool { return h.decided && h.rule.Fields && !h.rule.LogOnly }

// Names and values of fields. Never written to.
var (
	namePolicy     = []byte("RateLimit-Policy")
	nameLimit      = []byte("RateLimit")
	nameRetryAfter = []byte("Retry-After")
	nameType       = []byte("Content-Type")
	typeText       = []byte("text/plain; charset=utf-8")
	typeProblem    = []byte("application/problem+json")
)

// answer refuses the request.
func (v *visit) answer(x *exchange.Exchange) {
	r := v.refused.rule
	_, seconds := v.refused.state.rate.left(v.refused.state.level)
	start := len(v.text)
	v.text = strconv.AppendInt(v.text, max(seconds, 1), 10)
	after := v.text[start:]
	start = len(v.text)
	mediaType := typeText
	if asksForJSON(&x.Request) {
		// The draft's §4.1, by RFC 9457.
		mediaType = typeProblem
		v.text = append(v.text, `{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",`+
			`"title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"violated-policies":["`...)
		v.text = append(append(v.text, r.Name...), "\"]}\n"...)
	} else {
		v.text = append(append(v.text, "429 Too Many Requests\ntoo many requests, try again in "...), after...)
		v.text = append(v.text, " s\n"...)
	}
	body := v.text[start:]
	v.fields = append(v.fields, exchange.Field{Name: nameRetryAfter, Value: after}, exchange.Field{Name: nameType, Value: mediaType})
	x.Source = complete{}
	_ = x.Writer.Answer(429, v.fields, body) // all fields are ours
	v.release()
}

func asksForJSON(q *exchange.Request) bool {
	for i := range q.Fields {
		if f := &q.Fields[i]; exchange.EqualFold(f.Name, "accept") && strings.Contains(string(f.Value), "json") {
			return true
		}
	}
	return false
}

// complete is the Source of an answer that is complete already.
type complete struct{}

func (complete) Drained(int) {}
func (complete) Cancelled()  {}

// added are the fields of an answer behind ours. Where the application has such fields too, both are one list (RFC 9651 §3.1).
func (v *visit) added(fields []exchange.Field) []exchange.Field {
	const ours = 2
	v.fields = append(v.fields[:ours], fields...)
	return v.fields
}

// Head implements exchange.Writer.
func (v *visit) Head(status int, fields []exchange.Field) error {
	if status < 200 {
		return v.out.Head(status, fields)
	}
	return v.out.Head(status, v.added(fields))
}

// Answer implements exchange.Writer.
func (v *visit) Answer(status int, fields []exchange.Field, body []byte) error {
	if status < 200 {
		return v.out.Answer(status, fields, body)
	}
	err := v.out.Answer(status, v.added(fields), body)
	if err == nil {
		v.release()
	}
	return err
}

// AnswerShared implements exchange.SharedAnswerer.
func (v *visit) AnswerShared(status int, fields []exchange.Field, body []byte) error {
	if status < 200 {
		return v.out.Answer(status, fields, body)
	}
	err := exchange.AnswerShared(v.out, status, v.added(fields), body)
	if err == nil {
		v.release()
	}
	return err
}

// BodyPipe implements exchange.PipeTaker.
func (v *visit) BodyPipe(pipe, n int) (int, bool) { return exchange.BodyPipe(v.out, pipe, n) }

// Body implements exchange.Writer.
func (v *visit) Body(p []byte) { v.out.Body(p) }

// Flush implements exchange.Writer.
func (v *visit) Flush() { v.out.Flush() }

// End implements exchange.Writer.
func (v *visit) End() {
	out := v.out
	v.release()
	out.End()
}

// Abort implements exchange.Writer.
func (v *visit) Abort(status int, reason string) {
	out := v.out
	v.release()
	out.Abort(status, reason)
}
