package config

import (
	"fmt"
	"slices"
	"strings"
)

// portVariable is what platforms tell a program's port with. It sets the
// address only where nothing else does.
const portVariable = "PORT"

// variables returns the environment as a map; as in a shell, the last entry
// for a name counts. An empty variable counts as not set.
func variables(env []string) map[string]string {
	m := make(map[string]string, len(env))
	for _, entry := range env {
		name, value, ok := strings.Cut(entry, "=")
		if !ok {
			continue
		}
		delete(m, name)
		if value != "" {
			m[name] = value
		}
	}
	return m
}

// readEnv returns the settings in the environment, other than portVariable, and
// warnings about variables whose names are nearly those of options.
func readEnv(env map[string]string, dir string) (settings []setting, warnings []string, err error) {
	names := map[string]bool{}
	for _, o := range options() {
		candidates := append([]string{o.variable()}, o.variables...)
		for _, name := range candidates {
			names[name] = true
		}
		// The first name that is set counts: the option's own is more specific.
		i := slices.IndexFunc(candidates, func(name string) bool { return env[name] != "" })
		if i < 0 {
			continue
		}
		s := envSetting(&o, candidates[i], env[candidates[i]], dir)
		if _, err := s.read(); err != nil {
			return nil, nil, err
		}
		settings = append(settings, s)
	}
	return settings, misspelled(env, names), nil
}

func envSetting(o *option, name, value, dir string) setting {
	return setting{
		option: o, raw: text(value), base: dir,
		origin: Origin{Kind: "env", Name: name},
		label:  "environment variable " + name,
	}
}

// misspelled warns about variables that are close to an option's. It is no
// error: Kubernetes sets PYSPEED_SERVER_PORT and the like for a service that is
// named so.
func misspelled(env map[string]string, names map[string]bool) []string {
	var known []string
	for name := range names {
		if strings.HasPrefix(name, variablePrefix) {
			known = append(known, strings.ToLower(strings.TrimPrefix(name, variablePrefix)))
		}
	}
	slices.Sort(known)
	var warnings []string
	for name := range env {
		rest, ok := strings.CutPrefix(name, variablePrefix)
		if !ok || names[name] {
			continue
		}
		if c := nearest(rest, known); c != "" {
			warnings = append(warnings, fmt.Sprintf("the environment variable %s is no option; did you mean %s%s?",
				quote(name), variablePrefix, strings.ToUpper(c)))
		}
	}
	slices.Sort(warnings)
	return warnings
}
