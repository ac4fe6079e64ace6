// Package static answers requests for files, without asking a worker.
//
// In: exchanges whose path begins with a site's route, and folders. Out: answers with validators, ranges and the best
// encoding that is there (RFC 9110 §8.8, §12, §13, §14); what has no file is 404, or goes to the next responder.
//
// Which file a path names is decided on the path that was decoded once, before the disk is asked (path.go), and opened
// through os.Root, so that neither dots nor symbolic links lead out of the folder.
//
// Goroutines: Respond runs on the edge's and touches no disk: what is in memory is answered there. Everything else, looking a
// file up, reading it, sending what is too large for one write, runs on a goroutine of the request's own. One goroutine per set of
// sites hears of changed folders (fsnotify).
package static
