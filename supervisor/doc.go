// Package supervisor runs the Python worker processes: it spawns them, waits
// until they are ready, replaces those that die or have served long enough, all of them at a
// reload, and stops them.
//
// In: Settings (the first Launch: which Python, which `start` message, how many) and a Pool. Out:
// the Pool is asked to make each Worker ready (Open), is given it (Serve), is asked to let go of
// it (Drain) and is told when it is certainly dead (Lost). The log gets one
// line for each change of a worker, with its cause in words, and whatever the
// worker writes to its stdout and stderr.
//
// # How a worker is replaced
//
// One mechanism serves reloads and the replacement of single workers: launch starts a successor beside the slot's
// worker and returns it when it is ready; slot.swap gives it the slot, whose goroutine has the Pool Serve it and
// then ends its predecessor on a goroutine of that one's own. Until then nothing has changed for anybody, so
// whatever fails before, the successor is ended and that is all.
//
// Reload makes a generation of a Launch and does this for all slots, as many at once as Overlap says, each
// lot only when all of it are ready. The recycling goroutine does it for one worker at a time, and not during a reload;
// reason.go lists what for.
//
// Goroutines:
//
//   - the spawner, locked to its OS thread for the supervisor's life, forks
//     every worker (PR_SET_PDEATHSIG follows the forking thread, not the
//     process);
//   - one per slot keeps one worker running, and waits for nothing but events (see slot);
//   - per launch one, which ends when the worker is ready or gone; per worker that drains one;
//   - one replaces single workers; one reloads, while a reload is under way;
//   - per worker: one waits for its exit, one reads the control socket, two
//     read stdout and stderr, one writes those to the log. All of them end
//     before Lost is called.
//
// The calls to the Pool about one worker never overlap, but those about several do.
//
// # What happens to a worker's children
//
// Each worker leads a process group of its own, so that Ctrl-C in a terminal
// reaches the gateway only. Processes that the application starts belong to that
// group unless they leave it (setsid). A worker that ends in order, or crashes
// and is replaced, leaves its children alone, as gunicorn does. A worker that
// has to be killed is killed with its group, and when the gateway stops, what the
// last workers leave in their groups gets SIGTERM.
package supervisor
