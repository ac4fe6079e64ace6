package config

// JSON says what is done about JSON.
type JSON struct {
	// Paths are prefixes, in whole segments.
	Reencode         []string // of answers that are written anew
	SortKeys         []string // of answers that are written anew, with sorted keys
	ValidateRequests []string // of requests whose bodies are looked at
	Except           []string // that are left alone
	MaxSize          int64
	Engine           string // auto, own, sonic, encoding/json
	Accelerate       bool   // in the workers
}

// jsonOptions are the records of [json].
func jsonOptions() []option {
	paths := texts{"paths that begin with /", isPath}
	return []option{
		{
			key: "json.reencode", applies: AtOnce, kind: paths, value: "", flags: []string{"--json-reencode"},
			field: func(c *Config) any { return &c.JSON.Reencode },
			help:  "paths below which JSON answers are written anew: without white space, and with UTF-8 instead of \\u escapes",
			more: "Numbers, the order of keys and keys that are there twice stay as they are. Answers that have an ETag, a Content-Encoding, a digest or a signature, " +
				"`Cache-Control: no-transform`, are a part of something (206) or no JSON, are left alone. See `docs/json.md`.",
		},
		{
			key: "json.sort_keys", applies: AtOnce, kind: paths, value: "", flags: []string{"--json-sort-keys"},
			field: func(c *Config) any { return &c.JSON.SortKeys },
			help:  "paths below which JSON answers are written anew with the keys of objects sorted",
		},
		{
			key: "json.validate_requests", applies: AtOnce, kind: paths, value: "", flags: []string{"--json-validate-requests"},
			field: func(c *Config) any { return &c.JSON.ValidateRequests },
			help:  "paths below which request bodies that are said to be JSON and are not get 400, before the application is asked",
			more:  "Such a request waits until its body has come. The answer (RFC 9457) says where the body is wrong.",
		},
		{
			key: "json.except", applies: AtOnce, kind: paths, value: "", flags: []string{"--json-except"},
			field: func(c *Config) any { return &c.JSON.Except },
			help:  "paths below which neither is done",
		},
		{
			key: "json.max_size", applies: AtOnce, kind: size{1, 64 << 20}, value: "1MiB", flags: []string{"--json-max-size"},
			field: func(c *Config) any { return &c.JSON.MaxSize },
			help:  "longest body, or line of a stream, that is looked at; longer ones pass as they are",
			more:  "An answer of several parts is gathered until it is whole, within `server.buffer_budget`.",
		},
		{
			key: "json.engine", applies: AtRestart, kind: words{"auto", "own", "sonic", "encoding/json"}, value: "auto", flags: []string{"--json-engine"},
			field: func(c *Config) any { return &c.JSON.Engine },
			help:  "how JSON is handled: in one pass of our own; by sonic, where it is built in; by encoding/json, the slower reference; auto: the fastest that is there",
		},
		{
			key: "json.accelerate", applies: AtReload, kind: boolean{}, value: "false", flags: []string{"--json-accelerate"},
			field: func(c *Config) any { return &c.JSON.Accelerate },
			help:  "have Flask, FastAPI, Starlette, Django and its REST framework read and write JSON by orjson, where that gives equal JSON",
			more:  "orjson has to be installed in the application's environment. `pyspeed-gw check` says what it finds to accelerate.",
		},
	}
}
