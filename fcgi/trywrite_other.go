//go:build !unix

package fcgi

import "net"

// tryWriter does not exist here: all writing is the writing goroutine's.
type tryWriter struct{}

func newTryWriter(net.Conn) *tryWriter { return nil }

func (*tryWriter) write([]byte) (int, error) { return 0, nil }
