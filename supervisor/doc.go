// Package supervisor runs the Python worker processes: it spawns them, waits
// until they are ready, replaces those that die and stops them all.
//
// In: Settings (which Python, which `start` message, how many) and a Pool. Out:
// the Pool is given each Worker when it is ready (Add), is asked to let go of
// it (Drain) and is told when it is certainly dead (Lost). The log gets one
// line for each change of a worker, with its cause in words, and whatever the
// worker writes to its stdout and stderr.
//
// Goroutines:
//
//   - the spawner, locked to its OS thread for the supervisor's life, forks
//     every worker (PR_SET_PDEATHSIG follows the forking thread, not the
//     process);
//   - one per slot keeps one worker running; it alone calls the Pool about its
//     workers, so Add, Drain and Lost of one worker never overlap;
//   - per worker: one waits for its exit, one reads the control socket, two
//     read stdout and stderr, one writes those to the log. All of them end
//     before Lost is called.
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
