package static

import (
	"path"
	"strings"
)

// types are media types by extension, in lower case: those of the web, as registered with IANA, the same on every
// machine whatever its own tables say.
var types = map[string]string{
	".aac": "audio/aac", ".apng": "image/apng", ".avif": "image/avif", ".bmp": "image/bmp", ".css": "text/css", ".csv": "text/csv",
	".doc": "application/msword", ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".eot": "application/vnd.ms-fontobject", ".epub": "application/epub+zip", ".flac": "audio/flac", ".gif": "image/gif",
	".glb": "model/gltf-binary", ".gltf": "model/gltf+json", ".gz": "application/gzip", ".heic": "image/heic", ".htm": "text/html",
	".html": "text/html", ".ico": "image/x-icon", ".ics": "text/calendar", ".jpeg": "image/jpeg", ".jpg": "image/jpeg",
	".js": "text/javascript", ".json": "application/json", ".jsonld": "application/ld+json", ".jxl": "image/jxl", ".m3u8": "application/vnd.apple.mpegurl",
	".m4a": "audio/mp4", ".m4v": "video/mp4", ".map": "application/json", ".md": "text/markdown", ".mid": "audio/midi", ".mjs": "text/javascript",
	".mov": "video/quicktime", ".mp3": "audio/mpeg", ".mp4": "video/mp4", ".mpeg": "video/mpeg", ".odp": "application/vnd.oasis.opendocument.presentation",
	".ods": "application/vnd.oasis.opendocument.spreadsheet", ".odt": "application/vnd.oasis.opendocument.text", ".oga": "audio/ogg",
	".ogg": "audio/ogg", ".ogv": "video/ogg", ".opus": "audio/opus", ".otf": "font/otf", ".pdf": "application/pdf", ".png": "image/png",
	".ppt": "application/vnd.ms-powerpoint", ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".rss": "application/rss+xml", ".atom": "application/atom+xml", ".rtf": "application/rtf", ".svg": "image/svg+xml", ".tar": "application/x-tar",
	".tif": "image/tiff", ".tiff": "image/tiff", ".ts": "video/mp2t", ".ttf": "font/ttf", ".txt": "text/plain", ".vtt": "text/vtt",
	".wasm": "application/wasm", ".wav": "audio/wav", ".weba": "audio/webm", ".webm": "video/webm", ".webmanifest": "application/manifest+json",
	".webp": "image/webp", ".woff": "font/woff", ".woff2": "font/woff2", ".xhtml": "application/xhtml+xml", ".xls": "application/vnd.ms-excel",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xml": "application/xml", ".yaml": "application/yaml",
	".yml": "application/yaml", ".zip": "application/zip", ".zst": "application/zstd", ".7z": "application/x-7z-compressed",
}

// contentType is the Content-Type of one of the site's files.
func (s *Site) contentType(name string) string {
	if t := s.Types[path.Ext(name)]; t != "" {
		return t
	}
	return contentType(name, s.Charset)
}

// contentType is the Content-Type of a file of that name. Text gets the charset, if there is one.
func contentType(name, charset string) string {
	t := "application/octet-stream"
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 && !strings.ContainsRune(name[dot:], '/') {
		if known, ok := types[strings.ToLower(name[dot:])]; ok {
			t = known
		}
	}
	if charset != "" && strings.HasPrefix(t, "text/") {
		t += "; charset=" + charset
	}
	return t
}

// shrinks is whether files of that type get smaller by compression.
func shrinks(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	switch t {
	case "application/json", "application/ld+json", "application/manifest+json", "application/xml", "application/rss+xml", "application/atom+xml",
		"application/xhtml+xml", "application/wasm", "application/yaml", "image/svg+xml", "image/bmp", "image/x-icon", "font/ttf", "font/otf",
		"application/vnd.ms-fontobject", "model/gltf+json", "application/rtf", "application/vnd.apple.mpegurl":
		return true
	}
	return strings.HasPrefix(t, "text/")
}
