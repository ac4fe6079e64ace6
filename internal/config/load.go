package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
)

// Load reads the configuration. args are the arguments after the program's
// name, env is what os.Environ returns, and dir is the working directory.
//
// The error is one line that names the flag, the variable or the line of the
// file, what is expected there, and what was found. For the commands Help and
// Version nothing but args is read, and the Config has the defaults.
func Load(args, env []string, dir string) (*Config, *Sources, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot find the working directory: %w", err)
	}
	line, err := parseFlags(args, dir)
	if err != nil {
		return nil, nil, err
	}
	sources := &Sources{
		Command: line.command, Directory: dir, WorkingDirectory: dir,
		origins: map[string]Origin{},
	}
	m := merge{config: &Config{}, sources: sources, last: map[string]setting{}, binds: map[string][]Address{}}
	if err := m.defaults(dir); err != nil {
		return nil, nil, err
	}
	if line.command == Help || line.command == Version {
		return m.config, sources, nil
	}
	name, fromFile, err := readFile(line.file, dir)
	if err != nil {
		return nil, nil, err
	}
	if name != "" {
		sources.File, sources.Directory = name, filepath.Dir(absolute(name, dir))
	}
	environment := variables(env)
	fromEnv, warnings, err := readEnv(environment, dir)
	if err != nil {
		return nil, nil, err
	}
	sources.Warnings = warnings
	for _, settings := range [][]setting{fromFile, fromEnv, line.settings} {
		if err := m.apply(settings); err != nil {
			return nil, nil, err
		}
	}
	if err := m.apply(staticSettings(line.statics, len(m.config.Statics), dir)); err != nil {
		return nil, nil, err
	}
	if err := m.apply(cacheRouteSettings(line.cached, len(m.config.CacheRoutes), dir)); err != nil {
		return nil, nil, err
	}
	if err := m.finish(environment, dir); err != nil {
		return nil, nil, err
	}
	return m.config, sources, nil
}

// merge lays settings over each other.
type merge struct {
	config  *Config
	sources *Sources
	last    map[string]setting   // by key, the one that counts
	binds   map[string][]Address // by Origin.Kind; one kind's flags add up
}

func (m *merge) defaults(dir string) error {
	all := options()
	settings := make([]setting, 0, len(all))
	for i := range all {
		settings = append(settings, setting{
			option: &all[i], raw: text(all[i].value), base: dir,
			origin: Origin{Kind: "default"}, label: all[i].key,
		})
	}
	return m.apply(settings)
}

func (m *merge) apply(settings []setting) error {
	for _, s := range settings {
		v, err := s.read()
		if err != nil {
			return err
		}
		if list, ok := v.([]Address); ok && s.option.key == keyBind {
			before := m.binds[s.origin.Kind]
			if len(before) > 0 && m.last[s.option.key].origin.Name != s.origin.Name {
				s.origin.Name = m.last[s.option.key].origin.Name + ", " + s.origin.Name
			}
			list = append(before[:len(before):len(before)], list...)
			m.binds[s.origin.Kind] = list
			v = list
		}
		m.assign(s, v)
	}
	return nil
}

func (m *merge) assign(s setting, v any) {
	reflect.ValueOf(s.option.field(m.config)).Elem().Set(reflect.ValueOf(v))
	m.last[s.option.key] = s
	m.sources.origins[s.option.key] = s.origin
}

// finish applies what depends on several options, and checks what only counts
// for the values that are used.
func (m *merge) finish(env map[string]string, dir string) error {
	c := m.config
	if bind := m.last[keyBind]; bind.origin.Kind == "default" && env[portVariable] != "" {
		s := envSetting(bind.option, portVariable, "0.0.0.0:"+env[portVariable], dir)
		v, err := s.read()
		if err != nil || strings.Trim(env[portVariable], "0123456789") != "" {
			return fmt.Errorf("environment variable %s: expected a port from 0 to 65535, got %s", portVariable, quote(env[portVariable]))
		}
		m.assign(s, v)
	}
	if file := m.last[keyAccessFile]; file.origin.Kind == "flag" && m.last[keyAccess].origin.Kind != "flag" && c.Log.Access == "off" {
		c.Log.Access = "combined"
		m.sources.origins[keyAccess] = file.origin
	}
	if c.Reload.Enabled && m.last[keyCount].origin.Kind == "default" {
		c.Workers.Count = Count{Min: 1, Max: 1} // one is there soonest
		m.sources.origins[keyCount] = m.sources.origins[keyReload]
	}
	if bare, ok := strings.CutSuffix(c.App.Target, "()"); ok {
		c.App.Target, c.App.Factory = bare, true
		m.sources.origins[keyFactory] = m.sources.origins[keyTarget]
	}
	if err := m.checkBind(); err != nil {
		return err
	}
	if err := m.checkLists(); err != nil {
		return err
	}
	for _, o := range options() {
		// The default "." is the working directory, which is there.
		s := m.last[o.key]
		k, ok := o.kind.(filePath)
		if !ok || s.origin.Kind == "default" {
			continue
		}
		if err := k.verify(*o.field(c).(*string)); err != nil {
			return fmt.Errorf("%s: %w", s.label, err)
		}
	}
	if c.Cache.Shared && c.Redis.URL == "" && m.sources.Command != Show {
		return fmt.Errorf("%s: there is no Redis to share through; set redis.url", m.last[keyCacheShared].label)
	}
	if c.App.Target == "" && !c.WholeSite() && m.sources.Command != Show {
		return m.noTarget()
	}
	return nil
}

func (m *merge) checkBind() error {
	seen := map[Address]bool{}
	s := m.last[keyBind]
	for _, a := range m.config.Server.Bind {
		anyPort := a.Network == "tcp" && strings.HasSuffix(a.Address, ":0")
		if seen[a] && !anyPort {
			return fmt.Errorf("%s: %s is named twice", s.label, oneLine(a.String()))
		}
		seen[a] = true
	}
	if a := m.config.Admin.Bind; seen[a] && !strings.HasSuffix(a.Address, ":0") {
		admin := m.last["admin.bind"]
		return fmt.Errorf("%s: %s is in server.bind too, and administration needs an address of its own", admin.label, oneLine(a.String()))
	}
	return nil
}

func (m *merge) noTarget() error {
	where := "no file was read"
	if m.sources.File != "" {
		where = oneLine(m.sources.File) + " was read"
	}
	return fmt.Errorf("no application is named: write pyspeed-gw module:attribute, or set %s in a file (%s)", keyTarget, where)
}
