package compress

import "pyspeed/gateway/exchange"

// What is stored in front of the filter, by the cache, is encoded once for each coding and not for each client.

// Form is which form of an answer that is there whole a request gets: 0 for the answer with Vary, else a coding's number; negative
// where the filter has no part in it.
func (f *Filter) Form(q *exchange.Request, status int, fields []exchange.Field, length int64) int {
	if f.except(q.Path) {
		return -1
	}
	a := look(status, fields)
	coding := f.choose(&a, length, f.wants(q))
	if coding == none {
		return -1
	}
	return int(coding)
}

// wants is the coding that a client likes most.
func (f *Filter) wants(r *exchange.Request) Coding {
	q, said := weights{-1, -1, -1, -1}, false
	for i := range r.Fields {
		if field := &r.Fields[i]; exchange.EqualFold(field.Name, "accept-encoding") {
			q.accept(field.Value)
			said = true
		}
	}
	if !said {
		q = noWeights
	}
	return q.best(f.Codings)
}

// Fields is what Make does to an answer's fields, where its body is not sent.
func (f *Filter) Fields(form int, fields []exchange.Field) []exchange.Field {
	a := look(200, fields)
	return a.change(fields, Coding(form))
}

// Make makes a form that Form named: its fields, and the body, which is the one that was given where it does not get
// smaller. It takes as long as the coding does.
func (f *Filter) Make(form int, fields []exchange.Field, body []byte) ([]exchange.Field, []byte) {
	coding := Coding(form)
	a := look(200, fields)
	if coding == identity {
		return a.change(fields, identity), body
	}
	var s sink
	enc := f.encoders.get(coding, &s)
	_, err := enc.Write(body)
	if err == nil {
		err = enc.Close()
	}
	f.encoders.put(coding, enc)
	if err != nil || len(s.b) >= len(body) {
		return a.change(fields, identity), body
	}
	return a.change(fields, coding), append(make([]byte, 0, len(s.b)), s.b...)
}
