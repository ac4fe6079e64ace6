// Package config turns command line, environment and TOML file into one typed
// Config, and says where each value came from.
//
// In come the arguments, the environment and the working directory; out go a
// Config that needs no further checks, the Sources of its values, or one error
// of one line that names the place and the remedy. Everything an option has
// (its TOML key, its flags, its variables, default, range, help text, its
// entry in the reference page and in the sample file) comes from its one
// record in options.go.
//
// A value is taken from the first of: flag, environment, file, default.
//
// Nothing here starts a goroutine, and nothing is kept between calls: Load runs
// on its caller's goroutine, and its results belong to the caller.
package config

//go:generate go run ./gen
