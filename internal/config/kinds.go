package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Count is how many workers there are: always Min where that is Max, else as many as the load asks for. The zero
// Count stands for "auto".
type Count struct{ Min, Max int }

// mostWorkers bounds workers.count.
const mostWorkers = 1024

// counts is a whole number, "auto", or a table with min and max, which flags and variables write as MIN-MAX.
type counts struct{}

func (k counts) read(raw any, _ string) (any, error) {
	low, high, ok := int64(0), int64(0), false
	switch v := raw.(type) {
	case int64:
		low, high, ok = v, v, v > 0
	case map[string]any:
		var hasLow, hasHigh bool
		low, hasLow = v["min"].(int64)
		high, hasHigh = v["max"].(int64)
		ok = hasLow && hasHigh && len(v) == 2
	default:
		s, isText := stringOf(raw)
		if isText && strings.EqualFold(s, "auto") {
			return Count{}, nil
		}
		first, second, isRange := strings.Cut(s, "-")
		if _, isFlag := raw.(text); !isFlag && !isRange {
			break // a number in quotes
		}
		var err1, err2 error
		low, err1 = strconv.ParseInt(first, 10, 64)
		high, err2 = low, err1
		if isRange {
			high, err2 = strconv.ParseInt(second, 10, 64)
		}
		ok = err1 == nil && err2 == nil && (isRange || low > 0)
	}
	if !ok || low < 0 || high < 1 || low > high || high > mostWorkers {
		return nil, errExpected(k, raw)
	}
	return Count{int(low), int(high)}, nil
}

func (counts) write(v any) string {
	switch c := v.(Count); {
	case c.Max == 0:
		return `"auto"`
	case c.Min == c.Max:
		return strconv.Itoa(c.Min)
	default:
		return fmt.Sprintf("{ min = %d, max = %d }", c.Min, c.Max)
	}
}
func (counts) argument() string { return "N|MIN-MAX|auto" }
func (counts) expects() string {
	return fmt.Sprintf(`a whole number from 1 to %d, "auto", or { min = 0, max = 8 } (as a flag 0-8)`, mostWorkers)
}

// texts is a list of texts; flags and variables separate them by commas.
type texts struct {
	what  string              // an element, for expects
	check func(s string) bool // nil: anything but ""
}

func (k texts) read(raw any, _ string) (any, error) {
	list := []string{}
	switch v := raw.(type) {
	case text:
		for s := range strings.SplitSeq(string(v), ",") {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
	case string:
		list = append(list, v)
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, errExpected(k, e)
			}
			list = append(list, s)
		}
	default:
		return nil, errExpected(k, raw)
	}
	for _, s := range list {
		if s == "" || k.check != nil && !k.check(s) {
			return nil, errExpected(k, s)
		}
	}
	return list, nil
}

func (texts) write(v any) string {
	list := slices.Clone(v.([]string))
	for i, s := range list {
		list[i] = tomlString(s)
	}
	return "[" + strings.Join(list, ", ") + "]"
}
func (texts) argument() string  { return "LIST" }
func (k texts) expects() string { return "an array of " + k.what }

// isPath is whether s can be the target of a request in origin-form (RFC 9112 §3.2.1).
func isPath(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' })
}

// overlap is "all", which is 0, or a whole number.
type overlap struct{}

func (k overlap) read(raw any, _ string) (any, error) {
	if s, ok := stringOf(raw); ok && strings.EqualFold(s, "all") {
		return 0, nil
	}
	n, err := number{min: 1, max: mostWorkers}.read(raw, "")
	if err != nil {
		return nil, errExpected(k, raw)
	}
	return n, nil
}

func (overlap) write(v any) string {
	if v.(int) == 0 {
		return `"all"`
	}
	return strconv.Itoa(v.(int))
}
func (overlap) argument() string { return "N|all" }
func (overlap) expects() string  { return `"all" or a whole number from 1 to 1024` }

// octal is a file mode creation mask as umask(1) takes it; -1, written "", leaves the one that is there.
type octal struct{}

func (k octal) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if n, isNumber := raw.(int64); isNumber {
		// TOML knows 0o022, which is a number by now.
		s, ok = strconv.FormatInt(n, 8), n >= 0
	}
	if ok && s == "" {
		return -1, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 32)
	if !ok || err != nil || n > 0o777 {
		return nil, errExpected(k, raw)
	}
	return int(n), nil
}

func (octal) write(v any) string {
	if v.(int) < 0 {
		return `""`
	}
	return fmt.Sprintf(`"%03o"`, v.(int))
}
func (octal) argument() string { return "MASK" }
func (octal) expects() string  { return `an octal mask from "000" to "777"` }

// name is a text of one word.
type name struct{ what string }

func (k name) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if n, isNumber := raw.(int64); isNumber && n >= 0 {
		s, ok = strconv.FormatInt(n, 10), true
	}
	if !ok || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ':' || r == '/' }) {
		return nil, errExpected(k, raw)
	}
	return s, nil
}
func (name) write(v any) string { return tomlString(v.(string)) }
func (name) argument() string   { return "NAME" }
func (k name) expects() string  { return k.what }
