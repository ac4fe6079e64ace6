package config

import (
	"reflect"
	"slices"
	"testing"
)

// changed returns a Config in which every option has another value than in c.
func changed(t *testing.T, c *Config) *Config {
	t.Helper()
	other := *c
	for _, o := range options() {
		v := reflect.ValueOf(o.field(&other)).Elem()
		switch p := o.field(&other).(type) {
		case *string:
			*p += "x"
		case *bool:
			*p = !*p
		case *[]Address:
			*p = append(slices.Clone(*p), Address{"tcp", "h:1"})
		case *Address:
			p.Address += "x"
		case *[]string:
			*p = append(slices.Clone(*p), "x")
		case *Count:
			p.Max++
		default:
			if !v.CanInt() {
				t.Fatalf("%s: a %v", o.key, v.Type())
			}
			v.SetInt(v.Int() + 1)
		}
	}
	return &other
}

// TestChanges: every option that differs is found, with how it applies, and With takes over those that apply so.
func TestChanges(t *testing.T) {
	before, _, err := Load([]string{"main:app"}, nil, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if got := Changes(before, before); got != nil {
		t.Errorf("nothing changed, and %v did", got)
	}
	after := changed(t, before)
	all := Changes(before, after)
	if len(all) != len(options()) {
		t.Errorf("%d of %d changes found", len(all), len(options()))
	}
	for i, o := range options() {
		if all[i] != (Change{o.key, o.applies}) {
			t.Errorf("change %d is %v, want %s", i, all[i], o.key)
		}
	}
	mixed := before.With(after, AtOnce, AtReload)
	for _, c := range Changes(mixed, after) {
		if c.Applies != AtRestart {
			t.Errorf("%s was not taken over", c.Key)
		}
	}
	for _, c := range Changes(before, mixed) {
		if c.Applies == AtRestart {
			t.Errorf("%s was taken over", c.Key)
		}
	}
	if len(Changes(before, before.With(after))) != 0 || len(Changes(before.With(after, AtOnce, AtReload, AtRestart), after)) != 0 {
		t.Error("With takes over what it was not asked for, or not all that it was")
	}
}

func TestChangesOfLists(t *testing.T) {
	f := func(want bool, change func(*Config)) {
		t.Helper()
		entry := func() Upstream { return Upstream{Route: "/php", Params: map[string]string{"A": "b"}} }
		before := &Config{Upstreams: []Upstream{entry(), entry()}}
		after := &Config{Upstreams: []Upstream{entry(), entry()}}
		change(after)
		got := slices.Equal(Changes(before, after), []Change{{"upstream", AtRestart}})
		if got != want || !want && Changes(before, after) != nil {
			t.Errorf("changes: %v", Changes(before, after))
		}
	}
	f(false, func(*Config) {})
	f(true, func(c *Config) { c.Upstreams[1].Params["A"] = "c" })
	f(true, func(c *Config) { c.Upstreams[0].KeepAlive = true })
	f(true, func(c *Config) { c.Upstreams = c.Upstreams[:1] })
	f(true, func(c *Config) { c.Upstreams = nil })
}
