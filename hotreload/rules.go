package hotreload

import (
	"path"
	"strings"
)

// Kind is what a changed file asks for.
type Kind uint8

const (
	// Nothing: the file does not count.
	Nothing Kind = iota
	// Browser: pages look different, and the workers read the file anew by themselves.
	Browser
	// Workers: the application is another one.
	Workers
	// Config: the gateway's own configuration.
	Config
)

// rules say which folders are watched and what a file in them is. They look at names only.
type rules struct {
	include, exclude patterns
	gitignore        bool
}

// neverEntered are folders that no option can have watched.
var neverEntered = map[string]bool{".git": true, ".hg": true, ".svn": true, ".bzr": true, "CVS": true, "__pycache__": true}

// notEntered are folders, besides those with a dot in front, whose content is not the application's source.
var notEntered = map[string]bool{"node_modules": true, "bower_components": true, "site-packages": true, "dist-packages": true}

// enters is whether a folder is watched. names lead to it from the root of the watched tree, and, for .gitignore,
// from the repository's.
func (r *rules) enters(names, fromRepository []string, ignore *ignoreFile) bool {
	name := names[len(names)-1]
	switch {
	case neverEntered[name]:
		return false
	case r.exclude.covers(names, true):
		return false
	case r.include.leadTo(names):
		return true
	case name[0] == '.' || notEntered[name] || strings.HasSuffix(name, ".egg-info"):
		return false
	}
	return !r.gitignore || !ignore.ignores(fromRepository, true)
}

// kind is what a file in a watched folder is.
func (r *rules) kind(names, fromRepository []string, ignore *ignoreFile) Kind {
	name := names[len(names)-1]
	if passing(name) || r.exclude.covers(names, false) {
		return Nothing
	}
	if r.include.covers(names, false) {
		return Workers
	}
	if name[0] == '.' {
		return Nothing
	}
	kind := byExtension[strings.ToLower(path.Ext(name))]
	if kind == Nothing && shown(names) {
		kind = Browser
	}
	if kind != Nothing && r.gitignore && ignore.ignores(fromRepository, false) {
		return Nothing
	}
	return kind
}

var byExtension = func() map[string]Kind {
	kinds := map[string]Kind{}
	// What Python imports, and the catalogues that gettext reads once.
	for ext := range strings.FieldsSeq(".py .so .mo") {
		kinds[ext] = Workers
	}
	const templates = ".html .htm .xhtml .jinja .jinja2 .j2 .mako .mak .pt .tpl .tmpl"
	const assets = ".css .js .mjs .map .svg .png .jpg .jpeg .gif .webp .avif .ico .bmp .woff .woff2 .ttf .otf .eot .mp4 .webm .mp3 .ogg .wasm .webmanifest"
	for ext := range strings.FieldsSeq(templates + " " + assets) {
		kinds[ext] = Browser
	}
	return kinds
}()

// shown is whether the file is in a folder of which frameworks serve or render everything.
func shown(names []string) bool {
	for _, folder := range names[:len(names)-1] {
		switch folder {
		case "templates", "static":
			return true
		}
	}
	return false
}

// passing is whether a file of that name is an editor's, Python's or a database's own, never somebody's work.
func passing(name string) bool {
	switch {
	case name == "4913": // Vim looks whether it may write here
	case strings.HasSuffix(name, "~"): // Vim, Emacs, Kate, Gedit
	case strings.HasPrefix(name, ".#"), name[0] == '#' && strings.HasSuffix(name, "#"): // Emacs
	case strings.HasPrefix(name, ".goutputstream"): // GLib
	case strings.Contains(name, "___jb_"): // JetBrains
	case strings.HasPrefix(name, ".~lock."): // LibreOffice
	case strings.HasSuffix(name, "-journal"), strings.HasSuffix(name, "-wal"), strings.HasSuffix(name, "-shm"): // SQLite
	default:
		switch ext := path.Ext(name); ext {
		case ".swp", ".swo", ".swx", ".swpx": // Vim
		case ".pyc", ".pyo":
		case ".sqlite", ".sqlite3", ".db":
		case ".crdownload", ".part", ".kate-swp":
		default:
			return false
		}
	}
	return true
}
