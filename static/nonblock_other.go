//go:build !unix

package static

const nonblock = 0
