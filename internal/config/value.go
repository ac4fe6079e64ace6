package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// text is a value from a flag or a variable: it has no type of its own yet.
// The types of values from a file are those that the TOML decoder gives.
type text string

// kind is what values of one option look like.
type kind interface {
	// read makes the option's Go value of raw; a relative path in it is taken
	// from base. It reports only what is wrong; the caller says where.
	read(raw any, base string) (any, error)
	// write gives a Go value as TOML.
	write(v any) string
	// expects names the values that are taken, for "expected …".
	expects() string
	// argument is the placeholder for a value in the help text; "" for a
	// switch that takes none.
	argument() string
}

// errExpected is the error for a value of the wrong type or form.
func errExpected(k kind, raw any) error {
	return fmt.Errorf("expected %s, got %s", k.expects(), describe(raw))
}

// describe names a raw value in an error.
func describe(raw any) string {
	switch v := raw.(type) {
	case text:
		return quote(string(v))
	case string:
		return "the string " + quote(v)
	case bool, int64:
		return fmt.Sprint(v)
	case float64:
		return fmt.Sprintf("the float %v", v)
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "an array of tables"
	case []any:
		if len(v) == 0 {
			return "an empty array"
		}
		return "an array"
	case time.Time:
		return "a date or time"
	}
	return fmt.Sprintf("a %T", raw)
}

// quote keeps a value that is shown in an error to one line of bearable length.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.Quote(s)
}

// stringOf returns a raw value that is text.
func stringOf(raw any) (string, bool) {
	switch v := raw.(type) {
	case text:
		return string(v), true
	case string:
		return v, true
	}
	return "", false
}

// words is one of a few fixed words.
type words []string

func (k words) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	for _, w := range k {
		if ok && strings.EqualFold(s, w) {
			return w, nil
		}
	}
	return nil, errExpected(k, raw)
}
func (k words) write(v any) string { return tomlString(v.(string)) }
func (k words) argument() string   { return strings.Join(k, "|") }
func (k words) expects() string {
	quoted := make([]string, len(k))
	for i, w := range k {
		quoted[i] = strconv.Quote(w)
	}
	return strings.Join(quoted[:len(k)-1], ", ") + " or " + quoted[len(k)-1]
}

// boolean is true or false; its flag is a switch.
type boolean struct{}

func (k boolean) read(raw any, _ string) (any, error) {
	switch v := raw.(type) {
	case bool:
		return v, nil
	case text:
		switch strings.ToLower(string(v)) {
		case "true", "1", "yes", "on":
			return true, nil
		case "false", "0", "no", "off":
			return false, nil
		}
	}
	return nil, errExpected(k, raw)
}
func (boolean) write(v any) string { return strconv.FormatBool(v.(bool)) }
func (boolean) argument() string   { return "" }
func (boolean) expects() string    { return "true or false" }

// number is a whole number in a range; with auto also "auto", which is 0.
type number struct {
	min, max int
	auto     bool
}

func (k number) read(raw any, _ string) (any, error) {
	if s, ok := stringOf(raw); ok && k.auto && strings.EqualFold(s, "auto") {
		return 0, nil
	}
	n, ok := raw.(int64)
	if t, isText := raw.(text); isText {
		var err error
		n, err = strconv.ParseInt(string(t), 10, 64)
		ok = err == nil
	}
	if !ok || n < int64(k.min) || n > int64(k.max) {
		return nil, errExpected(k, raw)
	}
	return int(n), nil
}

func (k number) write(v any) string {
	if k.auto && v.(int) == 0 {
		return `"auto"`
	}
	return strconv.Itoa(v.(int))
}

func (k number) argument() string {
	if k.auto {
		return "N|auto"
	}
	return "N"
}

func (k number) expects() string {
	s := fmt.Sprintf("a whole number from %d to %d", k.min, k.max)
	if k.auto {
		s += ` or "auto"`
	}
	return s
}

// size is a number of bytes in a range.
type size struct{ min, max int64 }

// sizeUnits are the units of size; "B" and "" come last because they also end
// the others.
var sizeUnits = [...]struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
	{"", 1},
}

func (k size) read(raw any, _ string) (any, error) {
	n, ok := raw.(int64)
	if s, isText := stringOf(raw); isText {
		n, ok = parseSize(s)
	}
	if !ok || n < k.min || n > k.max {
		return nil, errExpected(k, raw)
	}
	return n, nil
}

func parseSize(s string) (int64, bool) {
	for _, u := range sizeUnits {
		if len(s) < len(u.name) || !strings.EqualFold(s[len(s)-len(u.name):], u.name) {
			continue
		}
		digits := strings.TrimRight(s[:len(s)-len(u.name)], " ")
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || int64(n) > math.MaxInt64/u.bytes {
			return 0, false
		}
		return int64(n) * u.bytes, true
	}
	return 0, false
}

// formatSize gives n in the first unit of sizeUnits that divides it.
func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

func (k size) write(v any) string { return tomlString(formatSize(v.(int64))) }
func (k size) argument() string   { return "SIZE" }
func (k size) expects() string {
	return fmt.Sprintf("a size from %s to %s, such as 64KiB, 10MB or a number of bytes", formatSize(k.min), formatSize(k.max))
}

// duration is a span of time in a range.
type duration struct{ min, max time.Duration }

func (k duration) read(raw any, _ string) (any, error) {
	d, ok := time.Duration(0), false
	switch v := raw.(type) {
	case int64:
		d, ok = seconds(float64(v))
	case float64:
		d, ok = seconds(v)
	default:
		if s, isText := stringOf(raw); isText {
			d, ok = parseDuration(s)
		}
	}
	if !ok || d < k.min || d > k.max {
		return nil, errExpected(k, raw)
	}
	return d, nil
}

func parseDuration(s string) (time.Duration, bool) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return seconds(f)
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

func seconds(f float64) (time.Duration, bool) {
	// Comparisons with NaN are false, so it is refused too.
	if !(f >= 0 && f < float64(math.MaxInt64/int64(time.Second))) {
		return 0, false
	}
	return time.Duration(f * float64(time.Second)), true
}

// formatDuration is Duration.String without the zero units that end it.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func (k duration) write(v any) string { return tomlString(formatDuration(v.(time.Duration))) }
func (k duration) argument() string   { return "TIME" }
func (k duration) expects() string {
	return fmt.Sprintf("a time from %s to %s, such as 500ms, 30s, 1m or a number of seconds", formatDuration(k.min), formatDuration(k.max))
}

// tomlString gives s as a TOML basic string (TOML 1.0, "String").
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
