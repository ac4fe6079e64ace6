//go:build !sonic || !(amd64 || arm64) || go1.28

package jsonpass

func whyNoSonic() string {
	return "this program was built without it; build it with make build TAGS=sonic, for amd64 or arm64"
}

var sonicEngine = ownEngine
