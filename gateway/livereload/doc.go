// Package livereload is what a developer sees of reload.enabled in the browser: pages that
// refresh themselves, and the page that is served while the new code does not start.
//
// In: Events from whoever watches the files and replaces the workers, and all requests, as
// Hub.Responder stands in front of the application. Out: a script element in the pages that
// browsers on this machine load, the events as a text/event-stream to the script, and ErrorPage.
//
//	            ┌─ /.pyspeed/… ─> the script, the stream of events
//	request ──> Hub.Responder
//	            └─ all others ──> next responder ──> filter ──> client
//
// A page knows by which event it is up to date, so none is missed between its answer and its
// first look at the stream, and none loads it again that it has seen already. Only clients on this
// machine that name this machine (local.go) get any of it: a traceback shows source code, and a web site
// elsewhere must not read it by a name of its own that leads here.
//
// Goroutines: Respond and the filter run on whatever goroutine the edge and the next responder
// have; Hub.Run writes all streams. Broadcast may be called from any and does not block.
package livereload
