package supervisor

import "strings"

// StaticFolders are what a worker with app.static = "auto" has found: folders that the application serves by itself.
type StaticFolders struct {
	Asked bool
	// Routes, Folders and Caching, of one length, are the paths without a slash at the end, absolute, and Cache-Control.
	Routes, Folders, Caching []string
	Types                    map[string]string // Content-Type by extension; files without stay with the application
	Not                      []string          // what stays with it, and why
}

func staticFolders(e event) StaticFolders {
	if !e.flag("static") {
		return StaticFolders{}
	}
	f := StaticFolders{
		Asked: true, Routes: e.texts("static_routes"), Folders: e.texts("static_folders"), Caching: e.texts("static_caching"), Not: e.texts("static_not"),
		Types: map[string]string{},
	}
	for _, t := range e.texts("static_types") {
		if extension, media, ok := strings.Cut(t, "="); ok {
			f.Types[extension] = media
		}
	}
	if n := len(f.Routes); len(f.Folders) != n || len(f.Caching) != n {
		f.Routes, f.Folders, f.Caching = nil, nil, nil
	}
	return f
}

// String is one line for logs and for the command check.
func (f *StaticFolders) String() string {
	var parts []string
	for i, route := range f.Routes {
		parts = append(parts, "serves "+route+" from "+f.Folders[i])
	}
	parts = append(parts, f.Not...)
	if len(parts) == 0 {
		return "app.static finds no folder that the application serves"
	}
	return "app.static: " + strings.Join(parts, "; ")
}
