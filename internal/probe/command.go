package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"pyspeed/fcgi"
	"pyspeed/internal/config"
)

const usage = `Usage:
  pyspeed-gw probe [flags] ADDRESS PATH     ask a FastCGI responder one question

ADDRESS is host:port, [ipv6]:port or unix:/path; PATH may have a query.

  --method METHOD            request method; GET, or POST with --body
  --script-filename PATH     SCRIPT_FILENAME; PATH is then SCRIPT_NAME, else PATH_INFO
  --root PATH                DOCUMENT_ROOT; without --script-filename the script is PATH in it
  --header "NAME: VALUE"     a request header; may be repeated
  --param NAME=VALUE         a parameter, over those that are sent anyway; may be repeated
  --body FILE                request body; - is standard input
  --timeout TIME             for everything together; 10s
  --help

The answer's head and body go to standard output, all else to standard error. The exit code is 0 for any answer
that ends as FastCGI demands, whatever its status, and 1 for none.
`

// Command runs the command line behind "probe" and returns the exit code.
func Command(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args)
	if errors.Is(err, errHelp) {
		_, _ = io.WriteString(stdout, usage)
		return 0
	}
	var q Question
	if err == nil {
		q, err = o.question(stdin)
	}
	var a *Answer
	if err == nil {
		a, err = Ask(ctx, q)
	}
	if err == nil {
		err = a.write(stdout, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "pyspeed-gw probe: %v\n", err)
		return 1
	}
	return 0
}

// order is a command line that was taken apart.
type order struct {
	address, path, method, script, root, body string
	params, headers                           [][2]string
	timeout                                   time.Duration
}

var errHelp = errors.New("help")

func parse(args []string) (*order, error) {
	o := &order{timeout: 10 * time.Second}
	var rest []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			rest = append(rest, arg)
			continue
		}
		name, value, joined := strings.Cut(arg, "=")
		switch name {
		case "--help", "-h":
			return nil, errHelp
		case "--method", "--script-filename", "--root", "--header", "--param", "--body", "--timeout":
		default:
			return nil, fmt.Errorf("unknown flag %q; pyspeed-gw probe --help lists the flags", name)
		}
		if !joined {
			if len(args) == 0 {
				return nil, fmt.Errorf("%s: a value is missing", name)
			}
			value, args = args[0], args[1:]
		}
		if err := o.set(name, value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(rest) != 2 {
		return nil, errors.New("expected ADDRESS and PATH; pyspeed-gw probe --help says more")
	}
	o.address, o.path = rest[0], rest[1]
	if !strings.HasPrefix(o.path, "/") {
		return nil, fmt.Errorf("expected a path such as /ping, got %q", o.path)
	}
	return o, nil
}

func (o *order) set(name, value string) error {
	switch name {
	case "--method":
		o.method = value
	case "--script-filename":
		o.script = value
	case "--root":
		o.root = value
	case "--body":
		o.body = value
	case "--header":
		field, text, ok := strings.Cut(value, ":")
		if !ok {
			return fmt.Errorf("expected NAME: VALUE, got %q", value)
		}
		o.headers = append(o.headers, [2]string{field, strings.TrimSpace(text)})
	case "--param":
		param, text, ok := strings.Cut(value, "=")
		if !ok || param == "" {
			return fmt.Errorf("expected NAME=VALUE, got %q", value)
		}
		o.params = append(o.params, [2]string{param, text})
	case "--timeout":
		seconds, err := strconv.ParseFloat(value, 64)
		o.timeout = time.Duration(seconds * float64(time.Second))
		if err != nil {
			o.timeout, err = time.ParseDuration(value)
		}
		if err != nil || o.timeout <= 0 {
			return fmt.Errorf("expected a time such as 5s, got %q", value)
		}
	}
	return nil
}

// question makes the parameters.
func (o *order) question(stdin io.Reader) (Question, error) {
	dir, err := os.Getwd()
	if err != nil {
		return Question{}, fmt.Errorf("cannot find the working directory: %w", err)
	}
	at, err := config.ParsePeer(o.address, dir)
	if err != nil {
		return Question{}, err
	}
	path, query, _ := strings.Cut(o.path, "?")
	script, name, info := o.script, "", path
	if script == "" && o.root != "" {
		script = strings.TrimSuffix(o.root, "/") + path
	}
	if script != "" {
		name, info = path, ""
	}
	method := o.method
	if method == "" {
		method = "GET"
		if o.body != "" {
			method = "POST"
		}
	}
	params := map[string]string{
		"GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "pyspeed-probe", "SERVER_PROTOCOL": "HTTP/1.1",
		"SERVER_NAME": "localhost", "SERVER_ADDR": "127.0.0.1", "SERVER_PORT": "80", "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "0",
		"REQUEST_METHOD": method, "REQUEST_SCHEME": "http", "REQUEST_URI": o.path, "QUERY_STRING": query,
		"SCRIPT_NAME": name, "PATH_INFO": info, "DOCUMENT_URI": path, "HTTP_HOST": "localhost", "REDIRECT_STATUS": "200",
	}
	if script != "" {
		params["SCRIPT_FILENAME"] = script
	}
	if o.root != "" {
		params["DOCUMENT_ROOT"] = o.root
	}
	for _, h := range o.headers {
		params["HTTP_"+strings.ToUpper(strings.ReplaceAll(h[0], "-", "_"))] = h[1]
	}
	q := Question{Network: at.Network, Address: at.Address, Params: params, Timeout: o.timeout}
	if o.body != "" {
		body, err := readBody(o.body, stdin)
		if err != nil {
			return q, err
		}
		params["CONTENT_LENGTH"] = strconv.Itoa(len(body))
		q.Body = io.NopCloser(bytes.NewReader(body))
	}
	for _, p := range o.params {
		params[p[0]] = p[1]
	}
	return q, nil
}

// readBody reads it whole, since CONTENT_LENGTH goes before it.
func readBody(name string, stdin io.Reader) ([]byte, error) {
	var data []byte
	var err error
	if name == "-" {
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the body: %w", err)
	}
	return data, nil
}

// write shows an answer. The error is for one that is none.
func (a *Answer) write(stdout, stderr io.Writer) error {
	var b bytes.Buffer
	if a.HeadDone {
		fmt.Fprintf(&b, "Status: %d\n", a.Status)
		for _, f := range a.Fields {
			fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
		}
		b.WriteByte('\n')
		b.Write(a.Body)
	}
	if _, err := stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("cannot write the answer: %w", err)
	}
	for line := range bytes.Lines(a.Stderr) {
		text := strconv.QuoteToGraphic(string(bytes.TrimRight(line, "\r\n")))
		fmt.Fprintf(stderr, "stderr: %s\n", strings.ReplaceAll(text[1:len(text)-1], `\"`, `"`))
	}
	for _, n := range a.Notes {
		fmt.Fprintf(stderr, "note: %s\n", n)
	}
	if a.Dropped > 0 {
		fmt.Fprintf(stderr, "note: %d bytes more are not shown\n", a.Dropped)
	}
	took := a.Took.Round(10 * time.Microsecond)
	switch {
	case a.Err != nil:
		return fmt.Errorf("no answer: %w (%s)", a.Err, took)
	case a.End.ProtocolStatus != fcgi.StatusRequestComplete:
		return fmt.Errorf("no answer: END_REQUEST says %s (%s)", a.End.ProtocolStatus, took)
	case !a.HeadDone:
		return fmt.Errorf("no answer: END_REQUEST came before the end of a head; appStatus is %d (%s)", a.End.AppStatus, took)
	}
	fmt.Fprintf(stderr, "END_REQUEST: %s, appStatus %d; %d bytes of body; %s\n", a.End.ProtocolStatus, a.End.AppStatus, len(a.Body), took)
	return nil
}
