package main

import (
	"bytes"
	"encoding/json"
)

// jsonTexts makes an application's JSON compact again: what a pass over finished answers costs
// with the standard library. The module does not depend on sonic, so there is nothing of it here.
func jsonTexts(read func(string) ([]byte, error)) ([]way, error) {
	var ways []way
	for _, name := range []string{"small", "items5000"} {
		text, err := read(name + ".json")
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		work := func() error {
			out.Reset()
			return json.Compact(&out, text)
		}
		ways = append(ways, way{"JSON", name, "encoding/json.Compact of json.dumps' text (Go)", work, func() ([]byte, error) {
			err := work()
			return out.Bytes(), err
		}})
	}
	return ways, nil
}
