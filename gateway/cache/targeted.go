package cache

import "pyspeed/gateway/exchange"

// targeted reads CDN-Cache-Control (RFC 9213), which is a Dictionary of structured fields (RFC 9651 §3.2). false: it is none,
// or says nothing, and so counts as if it were not there (RFC 9213 §2.1).
func (d *Directives) targeted(value []byte) bool {
	p := dictionary{rest: value}
	read := noDirectives
	for {
		p.spaces(true)
		if len(p.rest) == 0 {
			break
		}
		name := p.key()
		if name == nil {
			return false
		}
		argument, isNumber, isTrue, ok := p.member()
		if !ok {
			return false
		}
		switch {
		case isNumber:
			read.replace(name, argument)
		case isTrue:
			read.set(name, nil, false)
		}
		p.spaces(true)
		if len(p.rest) == 0 {
			break
		}
		if p.rest[0] != ',' {
			return false
		}
		if p.rest = p.rest[1:]; len(exchange.TrimOWS(p.rest)) == 0 {
			return false // a comma at the end
		}
	}
	if !read.Said {
		return false
	}
	*d = read
	return true
}

// replace is set for a number: the last of several counts (RFC 9651 §4.2.2).
func (d *Directives) replace(name, argument []byte) {
	next := noDirectives
	next.set(name, argument, true)
	for _, pair := range [][2]*int64{
		{&d.MaxAge, &next.MaxAge},
		{&d.SMaxAge, &next.SMaxAge},
		{&d.StaleWhileRevalidate, &next.StaleWhileRevalidate},
		{&d.StaleIfError, &next.StaleIfError},
	} {
		if *pair[1] != none {
			*pair[0] = *pair[1]
		}
	}
	d.Said = true
}

// dictionary reads members of one.
type dictionary struct{ rest []byte }

func (p *dictionary) spaces(tabs bool) {
	for len(p.rest) > 0 && (p.rest[0] == ' ' || tabs && p.rest[0] == '\t') {
		p.rest = p.rest[1:]
	}
}

func (p *dictionary) key() []byte {
	n := 0
	for n < len(p.rest) {
		c := p.rest[n]
		if c >= 'a' && c <= 'z' || c == '*' || n > 0 && (c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.') {
			n++
			continue
		}
		break
	}
	if n == 0 {
		return nil
	}
	name := p.rest[:n]
	p.rest = p.rest[n:]
	return name
}

// member reads what follows a key. A value that is no Integer and no true Boolean is read and says nothing here.
func (p *dictionary) member() (argument []byte, isNumber, isTrue, ok bool) {
	isTrue = true
	if len(p.rest) > 0 && p.rest[0] == '=' {
		p.rest = p.rest[1:]
		argument, isNumber, isTrue, ok = p.item()
		if !ok {
			return nil, false, false, false
		}
	}
	for { // parameters
		p.spaces(false)
		if len(p.rest) == 0 || p.rest[0] != ';' {
			return argument, isNumber, isTrue, true
		}
		p.rest = p.rest[1:]
		p.spaces(false)
		if p.key() == nil {
			return nil, false, false, false
		}
		if len(p.rest) > 0 && p.rest[0] == '=' {
			p.rest = p.rest[1:]
			if _, _, _, ok := p.item(); !ok {
				return nil, false, false, false
			}
		}
	}
}

// item reads one value that is no inner list.
func (p *dictionary) item() (argument []byte, isNumber, isTrue, ok bool) {
	if len(p.rest) == 0 {
		return nil, false, false, false
	}
	n := 1
	switch c := p.rest[0]; {
	case c == '?':
		if len(p.rest) < 2 || p.rest[1] != '0' && p.rest[1] != '1' {
			return nil, false, false, false
		}
		isTrue = p.rest[1] == '1'
		p.rest = p.rest[2:]
		return nil, false, isTrue, true
	case c == '"':
		for ; n < len(p.rest) && p.rest[n] != '"'; n++ {
			switch {
			case p.rest[n] == '\\' && n+1 < len(p.rest) && (p.rest[n+1] == '"' || p.rest[n+1] == '\\'):
				n++
			case p.rest[n] == '\\' || p.rest[n] < ' ' || p.rest[n] >= 0x7f:
				return nil, false, false, false
			}
		}
		if n == len(p.rest) {
			return nil, false, false, false
		}
		p.rest = p.rest[n+1:]
		return nil, false, false, true
	case c >= '0' && c <= '9', c == '-':
		for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
			n++
		}
		argument, p.rest = p.rest[:n], p.rest[n:]
		if string(argument) == "-" || len(argument) > 16 {
			return nil, false, false, false
		}
		if len(p.rest) == 0 || p.rest[0] != '.' {
			return argument, true, false, true
		}
		for n = 1; n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9'; n++ {
		}
		p.rest = p.rest[n:]
		return nil, false, false, n > 1 && n <= 4 // a Decimal, which is no number of seconds
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '*': // a Token
		for n < len(p.rest) && isToken(p.rest[n]) {
			n++
		}
		p.rest = p.rest[n:]
		return nil, false, false, true
	}
	return nil, false, false, false
}

// isToken is whether c may be in a Token of a structured field.
func isToken(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~', ':', '/':
		return true
	}
	return false
}
