package cache

import "time"

// usage is what may be done with a stored answer for a request.
type usage uint8

const (
	// useFresh gives it.
	useFresh usage = iota
	// useStale gives it although it is stale.
	useStale
	// useWhile gives it and asks the responder meanwhile (RFC 5861 §3).
	useWhile
	// useValidated asks the responder whether it still holds first (RFC 9111 §4.3).
	useValidated
	// useNever is for requests with credentials, of which the answer says nothing.
	useNever
)

// use decides it (RFC 9111 §4, §4.2.4). asks is whether it is the client who wants the responder to be asked.
func (e *entry) use(p *Policy, q *asked, now time.Duration) (u usage, asks bool) {
	if q.authorization && !e.forAuthorized || q.cookie && !e.forCookies {
		return useNever, false
	}
	if e.always {
		return useValidated, false
	}
	cc := &q.cc
	if !p.ClientControl {
		cc = &noDirectives
	}
	age := e.age(now)
	left := e.fresh - age
	if cc.NoCache || cc.MaxAge != none && age > said(cc.MaxAge) || cc.MinFresh != none && left < said(cc.MinFresh) {
		return useValidated, left > 0
	}
	switch {
	case left > 0:
		return useFresh, false
	case cc.MaxStale != none && -left <= said(cc.MaxStale) && !e.strict && !e.bound:
		return useStale, false
	case -left < e.while:
		return useWhile, false
	}
	return useValidated, false
}

// onFailure is whether the answer may be given in the place of a failure (RFC 5861 §4).
func (e *entry) onFailure(p *Policy, q *asked, now time.Duration) bool {
	if e.strict || e.gone.Load() {
		return false
	}
	most := e.onError
	if p.ClientControl && !e.bound {
		most = max(most, said(q.cc.StaleIfError))
	}
	left := e.left(now)
	return left > 0 || -left < most
}
