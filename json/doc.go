// Package jsonpass writes JSON answers anew, and looks at JSON that requests bring (RFC 8259). It is the folder json.
//
// In: exchanges, on their way to a responder (Filter.Wrap), and the answer, through the Writer that stands before the
// edge's. Out: of the paths that are named, requests whose bodies are JSON, the others with 400; and the same answers, without
// insignificant white space and with UTF-8 where characters were escaped. What must not or cannot be written anew passes
// byte for byte.
//
// Texts are handled by compact, Validator and sortKeys, which know nothing of exchanges. Engine says with whose help: of
// sonic, which only this package imports and only where a build asks for it, or of encoding/json. sonic's decoders are not
// used: what they make into Go's values is not what was there.
//
// Goroutines: those of the exchange. Nothing blocks; a text is handled on the goroutine that brings the last of it.
package jsonpass
