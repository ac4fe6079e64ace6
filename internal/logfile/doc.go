// Package logfile is a file that lines are appended to and that can be opened anew meanwhile, as logrotate
// asks for after it has renamed it.
//
// In: whole lines, from one goroutine. Out: the file, or a stream that is open already. Open, Move and Reopen may be called from
// any goroutine and wait for no write, since a disk may be stuck; whole writes go to the old file or to the new one, never half.
package logfile
