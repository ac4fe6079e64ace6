package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	jsonpass "pyspeed/json"
)

// jsonTexts makes an application's JSON compact again: what [json] does with finished answers, and what that costs with the
// standard library.
func jsonTexts(read func(string) ([]byte, error)) ([]way, error) {
	engines := []struct{ name, label string }{{jsonpass.Own, "pyspeed-gw's pass over json.dumps' text (Go)"}}
	if _, err := jsonpass.NewEngine(jsonpass.Sonic); err == nil { // built with -tags sonic
		engines = append(engines, struct{ name, label string }{jsonpass.Sonic, "the same with sonic's check of UTF-8 (Go, assembly)"})
	}
	own, err := jsonpass.NewEngine(jsonpass.Own)
	if err != nil {
		return nil, err
	}
	var ways []way
	for _, name := range []string{"small", "items5000"} {
		text, err := read(name + ".json")
		if err != nil {
			return nil, err
		}
		for _, e := range engines {
			engine, err := jsonpass.NewEngine(e.name)
			if err != nil {
				return nil, err
			}
			var out []byte
			work := func() error {
				var ok bool
				if out, ok = engine.AppendCompact(out[:0], text); !ok {
					return fmt.Errorf("%s.json is no JSON", name)
				}
				return nil
			}
			ways = append(ways, way{"JSON", name, e.label, work, func() ([]byte, error) {
				err := work()
				return out, err
			}})
		}
		var out bytes.Buffer
		work := func() error {
			out.Reset()
			return json.Compact(&out, text)
		}
		ways = append(ways, way{"JSON", name, "encoding/json.Compact of json.dumps' text (Go)", work, func() ([]byte, error) {
			if err := work(); err != nil {
				return nil, err
			}
			compared, _ := own.AppendCompact(nil, out.Bytes())
			return compared, nil
		}})
	}
	return ways, nil
}
