package http1

import (
	"net"
	"strconv"

	"pyspeed/gateway/exchange"
)

// PeerOf names the ends of a connection.
func PeerOf(remote, local net.Addr) exchange.Peer {
	var p exchange.Peer
	p.RemoteAddr, p.RemotePort = split(remote)
	p.ServerName, p.ServerPort = split(local)
	return p
}

func split(a net.Addr) (host, port string) {
	switch a := a.(type) {
	case *net.TCPAddr:
		ip := a.IP
		if v4 := ip.To4(); v4 != nil {
			ip = v4 // an IPv4 client of a dual-stack listener
		}
		return ip.String(), strconv.Itoa(a.Port)
	case *net.UnixAddr:
		if a.Name == "@" {
			return "", "" // what net calls a client's socket without a name
		}
		return a.Name, ""
	}
	return "", ""
}
