// Package hotreload watches the source files of an application and says, once they are quiet, which of them are
// different and what follows from that: other workers, a refreshed page, another configuration.
//
// In: Settings (which folders, what counts in them) and a Handler. Out: calls of the Handler. Events of the file
// system (fsnotify), or the clock where there are none, are hints only: what counts is how a file compares with what
// it was at the last call, so nothing is lost in gaps and nothing is told twice.
//
// Goroutine: Run's, which alone touches the state and calls the Handler; fsnotify has one that reads events.
//
// Which file does what:
//
//	file                                              by
//	what decides without looking at a file system     debounce, rules, pattern, ignoreFile
//	how files were, and what differs                  stamp, Watcher.check, Watcher.settle
//	which folders are watched, and by which names     folder, place
//	where hints come from                             hints: events (fsnotify), polling
package hotreload
