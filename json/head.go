package jsonpass

import (
	"strconv"

	"pyspeed/gateway/exchange"
)

// kind is what a body is.
type kind uint8

const (
	other    kind = iota
	document      // one JSON text
	stream        // one in each line
)

// answer is what a head says that matters here.
type answer struct {
	kind   kind  // other, where it must not be touched
	length int64 // Content-Length; -1: none
}

func look(status int, fields []exchange.Field) answer {
	a := answer{length: -1}
	if status < 200 || status == 204 || status == 206 || status == 304 {
		return a
	}
	fixed := false
	for i := range fields {
		f := &fields[i]
		switch name := f.Name; {
		case exchange.EqualFold(name, "content-type"):
			a.kind = media(f.Value)
		case exchange.EqualFold(name, "content-length"):
			if n, err := strconv.ParseInt(string(exchange.TrimOWS(f.Value)), 10, 64); err == nil {
				a.length = n
			}
		case exchange.EqualFold(name, "cache-control"):
			fixed = fixed || exchange.Lists(f.Value, "no-transform") // RFC 9111 §5.2.2.6
		case exchange.EqualFold(name, "accept-ranges"):
			fixed = fixed || !exchange.EqualFold(exchange.TrimOWS(f.Value), "none")
		case exchange.EqualFold(name, "content-encoding"):
			fixed = fixed || !exchange.EqualFold(exchange.TrimOWS(f.Value), "identity")
		case exchange.EqualFold(name, "etag"), exchange.EqualFold(name, "content-range"),
			// RFC 9530, RFC 9421: they speak of these very bytes.
			exchange.EqualFold(name, "content-digest"), exchange.EqualFold(name, "repr-digest"), exchange.EqualFold(name, "digest"),
			exchange.EqualFold(name, "content-md5"), exchange.EqualFold(name, "signature"), exchange.EqualFold(name, "signature-input"):
			fixed = true
		}
	}
	if fixed {
		a.kind = other
	}
	return a
}

// media is what a Content-Type says: other, also where it says that the text is not UTF-8.
func media(value []byte) kind {
	name, parameters := exchange.Cut(value, ';')
	k := other
	switch name = exchange.TrimOWS(name); {
	case exchange.EqualFold(name, "application/json"), exchange.EqualFold(name, "text/json"):
		k = document
	case exchange.EqualFold(name, "application/x-ndjson"), exchange.EqualFold(name, "application/ndjson"),
		exchange.EqualFold(name, "application/jsonl"), exchange.EqualFold(name, "application/x-jsonl"),
		exchange.EqualFold(name, "application/jsonlines"), exchange.EqualFold(name, "application/x-jsonlines"),
		exchange.EqualFold(name, "application/json-lines"), exchange.EqualFold(name, "application/stream+json"):
		k = stream
	case len(name) > len("+json") && exchange.EqualFold(name[len(name)-len("+json"):], "+json"): // RFC 6839 §3.1
		k = document
	}
	for len(parameters) > 0 {
		var p []byte
		p, parameters = exchange.Cut(parameters, ';')
		name, charset := exchange.Cut(exchange.TrimOWS(p), '=')
		if n := len(charset); n > 1 && charset[0] == '"' && charset[n-1] == '"' {
			charset = charset[1 : n-1]
		}
		if exchange.EqualFold(name, "charset") && !exchange.EqualFold(charset, "utf-8") && !exchange.EqualFold(charset, "utf8") {
			return other
		}
	}
	return k
}

// withoutLength returns the fields but for Content-Length.
func withoutLength(fields []exchange.Field) []exchange.Field {
	for i := range fields {
		if exchange.EqualFold(fields[i].Name, "content-length") {
			rest := make([]exchange.Field, 0, len(fields)-1)
			for _, f := range fields {
				if !exchange.EqualFold(f.Name, "content-length") {
					rest = append(rest, f)
				}
			}
			return rest
		}
	}
	return fields
}

// keepFields copies fields that are only valid during a call.
func keepFields(fields []exchange.Field) []exchange.Field {
	n := 0
	for i := range fields {
		n += len(fields[i].Name) + len(fields[i].Value)
	}
	memory := make([]byte, 0, n)
	keep := func(b []byte) []byte {
		start := len(memory)
		memory = append(memory, b...)
		return memory[start:len(memory):len(memory)]
	}
	kept := make([]exchange.Field, len(fields))
	for i := range fields {
		kept[i] = exchange.Field{Name: keep(fields[i].Name), Value: keep(fields[i].Value)}
	}
	return kept
}
