package config

import "strings"

// unsupported returns what to do instead of a flag that gunicorn, uvicorn,
// granian or hypercorn have and PySpeed does not; "" for any other name.
func unsupported(name string) string {
	const (
		tls      = "terminate TLS in front of pyspeed-gw"
		reload   = "use --reload-dir, --reload-include, --reload-exclude and --reload-on-error"
		protocol = "HTTP/1.1 is what is served, and there is nothing to choose"
		proxies  = "forwarded addresses are not taken from requests"
		logging  = "use --log-level, --log-format, --log-file and --access"
		headers  = "answers have the application's header fields, and Date"
		hooks    = "no Python runs in the gateway"
	)
	switch name {
	case "--worker-connections", "--limit-concurrency", "--backpressure":
		return "use --limit-connections for all clients, --in-flight for what one worker holds and --queue for what waits"
	case "--workers-kill-timeout":
		return "use --timeout for workers that hang and --timeout-shutdown for stopping"
	case "--timeout-worker-healthcheck":
		return "use --startup-timeout for workers that do not become ready"
	case "--reload-engine", "--reload-tick":
		return "use --reload-poll"
	case "--reload-extra-file", "--reload-paths", "--reload-ignore-dirs", "--reload-ignore-patterns", "--reload-ignore-paths", "--reload-ignore-worker-failure":
		return reload
	case "--rss-sample-interval", "--rss-samples":
		return "use --workers-max-rss; it is looked at every second"
	case "-D", "--daemon":
		return "use a service manager, such as systemd, and --pid"
	case "--control-socket", "--no-control-socket", "--control-socket-mode":
		return "use --control PATH, or --control off; its mode is 0600"
	case "--initgroups":
		return "use --user: its groups come with it"
	case "-e", "--env":
		return "use --env-file, or set the variable for pyspeed-gw: workers inherit it"
	case "--env-files":
		return "use --env-file"
	case "-n", "--name", "--proc-name", "--process-name":
		return "processes keep their names"
	case "--pythonpath", "--python-path":
		return "use --app-dir, or the variable PYTHONPATH"
	case "--working-dir", "--working-directory":
		return "use --app-dir"
	case "--wsgi-app", "--app":
		return "name the application without a flag, as in pyspeed-gw module:attribute"
	case "--check-config":
		return "use the command check, as in pyspeed-gw check -c FILE"
	case "--print-config":
		return "use the command config, as in pyspeed-gw config -c FILE"
	case "--certfile", "--keyfile", "--ca-certs", "--cert-reqs", "--ciphers":
		return tls
	case "--forwarded-allow-ips", "--proxy-headers", "--no-proxy-headers", "--proxy-protocol", "--proxy-allow-from":
		return proxies
	case "--access-logformat", "--access-log-fmt", "--access-log-format":
		return "use --access combined or --access json"
	case "--error-log", "--capture-output", "--log-config", "--log-config-json",
		"--logger-class", "--log-syslog", "--no-use-colors", "--use-colors", "--disable-redirect-access-to-syslog":
		return logging
	case "--limit-request-field_size":
		return "use --limit-header-bytes for all header fields together"
	case "--h11-max-incomplete-event-size":
		return "use --limit-header-bytes and --limit-request-line"
	case "--loop", "--http", "--event-loop", "--task-impl", "--no-ws", "--interface-mode":
		return protocol
	case "--runtime-threads", "--runtime-mode", "--runtime-blocking-threads", "--blocking-threads":
		return "use --threads for the threads of a WSGI worker"
	case "--server-header", "--no-server-header", "--date-header", "--no-date-header", "--header":
		return headers
	case "--reuse-port", "--no-sendfile", "--worker-tmp-dir", "--statsd-host", "--spew", "--paste", "--paster":
		return "pyspeed-gw has nothing that corresponds"
	case "--instrument", "--metrics", "--metrics-address", "--metrics-port":
		return "use --admin-bind"
	}
	for _, p := range []struct{ prefix, hint string }{
		{"--ssl-", tls},
		{"--ws-", protocol},
		{"--http1-", protocol},
		{"--http2-", protocol},
		{"--log-syslog-", logging},
		{"--on-", hooks},
		{"--pre-", hooks},
		{"--post-", hooks},
	} {
		if strings.HasPrefix(name, p.prefix) {
			return p.hint
		}
	}
	return ""
}
