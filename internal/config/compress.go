package config

// Compress says which answers are encoded, and how.
type Compress struct {
	Enabled   bool
	Encodings []string // zstd, br, gzip: the most liked first
	GzipLevel int
	// BrotliLevel and ZstdLevel are in their own numbers.
	BrotliLevel, ZstdLevel int
	MinSize                int64
	Types                  []string // lower case
	Except                 []string // path prefixes
}

// compressOptions are the records of [compress].
func compressOptions() []option {
	return []option{
		{
			key: "compress.enabled", applies: AtOnce, kind: boolean{}, value: "false", flags: []string{"--compress"},
			field: func(c *Config) any { return &c.Compress.Enabled },
			help:  "encode the application's answers as the client accepts, by type and size",
			more: "Answers that have a Content-Encoding, a digest or a signature, `Cache-Control: no-transform`, or are a part of something (206) are left alone. Strong ETags become weak. " +
				"An answer that has a secret beside what a client sent can be guessed at by its length (BREACH): list such routes in `except`.",
		},
		{
			key: "compress.encodings", applies: AtOnce, kind: texts{`"zstd", "br" and "gzip"`, func(s string) bool { return s == "zstd" || s == "br" || s == "gzip" }}, value: "zstd,br,gzip",
			flags: []string{"--compress-encodings"},
			field: func(c *Config) any { return &c.Compress.Encodings },
			help:  "encodings that are offered; of those that a client likes as much, the first is taken",
		},
		{
			key: "compress.gzip_level", applies: AtOnce, kind: number{min: 1, max: 9}, value: "5", flags: []string{"--compress-gzip-level"},
			field: func(c *Config) any { return &c.Compress.GzipLevel },
			help:  "how hard gzip tries",
		},
		{
			key: "compress.brotli_level", applies: AtOnce, kind: number{min: 0, max: 11}, value: "4", flags: []string{"--compress-brotli-level"},
			field: func(c *Config) any { return &c.Compress.BrotliLevel },
			help:  "how hard brotli tries; above 6 it is too slow for answers that are made anew",
		},
		{
			key: "compress.zstd_level", applies: AtOnce, kind: number{min: 1, max: 22}, value: "3", flags: []string{"--compress-zstd-level"},
			field: func(c *Config) any { return &c.Compress.ZstdLevel },
			help:  "how hard zstd tries",
		},
		{
			key: "compress.min_size", applies: AtOnce, kind: size{0, 1 << 30}, value: "1KiB", flags: []string{"--compress-min-size"},
			field: func(c *Config) any { return &c.Compress.MinSize },
			help:  "least body that is encoded, where its length is known",
		},
		{
			key: "compress.types", applies: AtOnce, kind: texts{"media types", nil}, flags: []string{"--compress-types"},
			value: "",
			field: func(c *Config) any { return &c.Compress.Types },
			help:  "media types that are encoded; none: text, JSON, XML, scripts, SVG and the like",
			more:  "`text/*` stands for all of a kind. Parameters such as the charset do not count.",
		},
		{
			key: "compress.except", applies: AtOnce, kind: texts{"paths that begin with /", isPath}, value: "", flags: []string{"--compress-except"},
			field: func(c *Config) any { return &c.Compress.Except },
			help:  "paths below which nothing is encoded",
		},
	}
}
