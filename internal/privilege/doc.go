// Package privilege makes the process another user's: what server.user and server.group ask for.
//
// In: names or numbers, and the system's files of users and groups. Out: the whole process, with all its threads, is that
// user's for good, and so is every worker that it starts; or an error that names the remedy.
//
// No goroutines. Become is called once, before any worker is started.
package privilege
