// Package caller is what the gateway knows of the Python process that started it: `python -m pyspeed`,
// which it replaced, or the caller of run_app or serving, whose child it is.
//
// In: the variable PYSPEED_CALLER, one JSON object (docs/internals.md, "Started from Python"), and with a child
// the descriptors that it names. Out: which Python to run, the process that is the worker, where
// to tell that the gateway listens or why it does not, and a channel that is closed when the caller is gone.
//
// Goroutines: one waits for the end of the tether. Every method may be called from any goroutine.
package caller
