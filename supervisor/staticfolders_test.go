package supervisor

import (
	"reflect"
	"testing"

	"pyspeed/fcgi/marshal"
)

// TestStaticFolders: what a worker says of its folders, and that half of it is nothing.
func TestStaticFolders(t *testing.T) {
	list := func(texts ...string) marshal.Value {
		var all marshal.List
		for _, s := range texts {
			all = append(all, s)
		}
		return all
	}
	f := func(fields map[string]marshal.Value, want StaticFolders, text string) {
		t.Helper()
		var e event
		for key, value := range fields {
			e = append(e, marshal.Item{Key: key, Value: value})
		}
		got := staticFolders(e)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got.Asked && got.String() != text {
			t.Errorf("says %q", got.String())
		}
	}
	f(map[string]marshal.Value{"static_routes": list("/a")}, StaticFolders{}, "")
	f(map[string]marshal.Value{"static": true}, StaticFolders{Asked: true, Types: map[string]string{}}, "app.static finds no folder that the application serves")
	whole := map[string]marshal.Value{
		"static": true, "static_routes": list("/a", "/b"), "static_folders": list("/x", "/y"), "static_caching": list("no-cache", ""),
		"static_types": list(".css=text/css; charset=utf-8", "nothing"), "static_not": list("/c: is guarded"),
	}
	f(whole, StaticFolders{
		Asked: true, Routes: []string{"/a", "/b"}, Folders: []string{"/x", "/y"}, Caching: []string{"no-cache", ""},
		Types: map[string]string{".css": "text/css; charset=utf-8"}, Not: []string{"/c: is guarded"},
	}, "app.static: serves /a from /x; serves /b from /y; /c: is guarded")
	whole["static_folders"] = list("/x")
	f(whole, StaticFolders{Asked: true, Types: map[string]string{".css": "text/css; charset=utf-8"}, Not: []string{"/c: is guarded"}}, "app.static: /c: is guarded")
}
