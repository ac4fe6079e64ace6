package config

import (
	"fmt"
	"reflect"
	"slices"
)

// Applies is when a change of an option takes effect while the server runs.
type Applies uint8

// The ways. The zero value is no option's.
const (
	_         Applies = iota
	AtOnce            // when the configuration is read again
	AtReload          // in the workers that are started then
	AtRestart         // when the server is started anew
)

// String says it for the reference page: "a change applies …".
func (a Applies) String() string {
	//exhaustive:enforce
	switch a {
	case AtOnce:
		return "at once"
	case AtReload:
		return "with the new workers"
	case AtRestart:
		return "at the next start of pyspeed-gw"
	}
	return fmt.Sprintf("Applies(%d)", uint8(a))
}

// Change is an option that two configurations have different values for.
type Change struct {
	Key     string // of a list: its table
	Applies Applies
}

// Catalogue lists every option outside of lists, and every list, with when a change of it applies.
func Catalogue() []Change {
	var all []Change
	for _, o := range options() {
		all = append(all, Change{o.key, o.applies})
	}
	for _, l := range lists() {
		all = append(all, Change{l.table, l.applies})
	}
	return all
}

// Changes lists what differs, in the order of the reference page.
func Changes(before, after *Config) []Change {
	var all []Change
	for _, o := range options() {
		if !reflect.DeepEqual(o.in(before), o.in(after)) {
			all = append(all, Change{o.key, o.applies})
		}
	}
	for _, l := range lists() {
		if !l.equal(before, after) {
			all = append(all, Change{l.table, l.applies})
		}
	}
	return all
}

func (l *list) equal(before, after *Config) bool {
	n := l.length(before)
	if n != l.length(after) {
		return false
	}
	for i := range n {
		for _, o := range l.options(i) {
			if !reflect.DeepEqual(o.in(before), o.in(after)) {
				return false
			}
		}
	}
	return true
}

// With returns a copy of c that has other's values of the options whose changes apply in one of these ways.
func (c *Config) With(other *Config, applies ...Applies) *Config {
	result := *c
	for _, o := range options() {
		if slices.Contains(applies, o.applies) {
			reflect.ValueOf(o.field(&result)).Elem().Set(reflect.ValueOf(o.field(other)).Elem())
		}
	}
	for _, l := range lists() {
		if slices.Contains(applies, l.applies) && l.take != nil {
			l.take(&result, other)
		}
	}
	return &result
}
