// Package fcgi is the FastCGI 1.0 codec: it turns bytes into records and
// records into bytes, and does no I/O.
//
// In comes what was read from a FastCGI peer, in whatever pieces the kernel
// gave it; out come [Record] values that point into those bytes, name-value
// pairs, typed bodies and the head of a CGI answer. The other way, Append
// functions write records to the end of a caller's slice. Nothing in the codec
// starts a goroutine, blocks or keeps a lock: each [Decoder], [Joiner], [Pairs]
// and [CGIHead] belongs to the one goroutine that reads its connection.
//
// # The record
//
// Every record is an 8-byte header (numbers big-endian), content and padding:
//
//	 0        1        2        3        4        5        6        7
//	+--------+--------+--------+--------+--------+--------+--------+--------+
//	| version|  type  |   request id    | content length  | padding| flags  |
//	|   1    |        | 0: management   |    0..65535     | length |        |
//	+--------+--------+--------+--------+--------+--------+--------+--------+
//	| content ...                                                           |
//	+--------+--------+--------+--------+--------+--------+--------+--------+
//	| padding (0..255 bytes, to be ignored)                                 |
//	+--------+--------+--------+--------+--------+--------+--------+--------+
//
// FastCGI calls the last header byte reserved. The profile pyspeed/1, spoken
// only over inherited sockets, keeps its flags there; with every other peer it
// is written as 0 and ignored.
//
// # A request in standard FastCGI
//
//	-> BEGIN_REQUEST   role, flags
//	-> PARAMS          name-value pairs, a byte stream over any number of records
//	-> PARAMS          empty: end of stream
//	-> STDIN ...       body
//	-> STDIN           empty: end of stream
//	<- STDOUT ...      "Status: 404 Not Found" CRLF fields CRLF CRLF body
//	<- STDERR ...      text for the log
//	<- END_REQUEST     appStatus, protocolStatus
//
// # A request in profile pyspeed/1
//
//	-> REQUEST         marshal (head, body)            flags BODY, MORE, window
//	-> STDIN ...       only with BODY
//	<- RESPONSE        marshal (status, headers), body flags LAST, MORE
//	<- STDOUT ...      without LAST
//	<- END_REQUEST     without LAST
//	<> WINDOW          credit
//
// Comments that begin with "FastCGI §" quote the FastCGI Specification 1.0
// (Open Market, 29 April 1996) at the check that enforces the sentence.
package fcgi
