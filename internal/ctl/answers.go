package ctl

// The results of the commands, as --json prints them. Times are in seconds, memory is in bytes; what is not known is 0.

// Status is the result of "status".
type Status struct {
	Version    string      `json:"version"`
	PID        int         `json:"pid"`
	Uptime     float64     `json:"uptime"`
	State      string      `json:"state"` // starting, ready, drained, not ready, stopping
	Reason     string      `json:"reason,omitempty"`
	Reloading  bool        `json:"reloading"`
	Generation int         `json:"generation"`
	Addresses  []string    `json:"addresses"`
	Admin      string      `json:"admin,omitempty"`
	Workers    WorkerCount `json:"workers"`
	Requests   Requests    `json:"requests"`
	Queue      Level       `json:"queue"`
	Clients    Level       `json:"connections"`
	Memory     Memory      `json:"memory"`
}

// WorkerCount says how many workers there are.
type WorkerCount struct {
	Ready  int `json:"ready"`  // that take requests
	Wanted int `json:"wanted"` // that there are meant to be now
	Min    int `json:"min"`    // that there must be at least, whatever the load
	Max    int `json:"max"`    // and at most
}

// Requests says how many have ended, and how.
type Requests struct {
	Total    uint64            `json:"total"`
	ByStatus map[string]uint64 `json:"by_status"` // 2xx …; none: the client left first
	InFlight int               `json:"in_flight"` // given to workers and not answered
}

// Level is how much there is of something that is bounded.
type Level struct {
	Now  int `json:"now"`
	Most int `json:"most"`
}

// Memory is what is resident.
type Memory struct {
	Gateway int64 `json:"gateway"`
	Workers int64 `json:"workers"`
}

// Worker is an element of the result of "workers".
type Worker struct {
	ID         string  `json:"id"`
	PID        int     `json:"pid"`
	State      string  `json:"state"` // starting, ready, draining, stopped, failed
	Generation int     `json:"generation"`
	Age        float64 `json:"age"`
	Requests   int     `json:"requests"`
	InFlight   int     `json:"in_flight"`
	RSS        int64   `json:"rss"`
	Interface  string  `json:"interface,omitempty"`
	Python     string  `json:"python,omitempty"`
	// Reason is what it ends for or is about to, else what its predecessor ended for.
	Reason string `json:"reason,omitempty"`
}

// Reloaded is the result of "reload".
type Reloaded struct {
	Generation int      `json:"generation"`
	Applied    []string `json:"applied"` // options that have changed and are in effect
	Restart    []string `json:"restart"` // options that have changed and need a restart
}

// Drained is the result of "drain".
type Drained struct {
	Worker  string `json:"worker,omitempty"` // the one that is to be replaced; none: the whole gateway
	Drained bool   `json:"drained"`          // false after --undo
}

// Scaled is the result of "add" and "remove".
type Scaled struct {
	Min int `json:"min"` // workers that there must be at least now
	Max int `json:"max"` // and at most; the same where their number is fixed
}

// Dumped is the result of "dump".
type Dumped struct {
	Log    string            `json:"log"`              // where the stacks are
	Dumped []string          `json:"dumped"`           // workers
	Failed map[string]string `json:"failed,omitempty"` // why not, by worker
}

// Purged is the result of "purge".
type Purged struct {
	Answers int    `json:"answers"`           // that this gateway kept
	Pending string `json:"pending,omitempty"` // what is still to be done where answers are shared, and why
}

// Killed is the result of "kill".
type Killed struct {
	Worker string `json:"worker"`
	PID    int    `json:"pid"`
}
