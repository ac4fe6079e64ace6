// gofcgi is the same as app.py, with Go's own FastCGI: gofcgi PATH listens at that unix socket.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ln, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(fcgi.Serve(ln, http.HandlerFunc(serve)))
}

func say(w http.ResponseWriter, text string) bool {
	_, err := io.WriteString(w, text)
	w.(http.Flusher).Flush()
	return err == nil
}

func touch(name string) {
	if f, err := os.Create(name); err == nil {
		_ = f.Close() // empty
	}
}

func await(name string) {
	for {
		if _, err := os.Stat(name); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func serve(w http.ResponseWriter, r *http.Request) {
	// net/http/fcgi gives what is no header, and takes out what http.Request has in fields of its own.
	env := fcgi.ProcessEnv(r)
	file := filepath.Join(env["LAB_DIR"], r.URL.RawQuery)
	w.Header().Set("Content-Type", "text/plain")
	switch name, _, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/"); name {
	case "hello":
		say(w, "hello")
	case "params":
		all := map[string]string{
			"REQUEST_URI": r.URL.RequestURI(), "REQUEST_METHOD": r.Method, "HTTP_HOST": r.Host, "QUERY_STRING": r.URL.RawQuery, "PATH_INFO": r.URL.Path,
			"SCRIPT_NAME": env["SCRIPT_NAME"], "LAB_DIR": env["LAB_DIR"],
		}
		if r.URL.Path == "" {
			all["PATH_INFO"] = env["PATH_INFO"]
		}
		for name, values := range r.Header {
			all["HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = strings.Join(values, ", ")
		}
		_ = json.NewEncoder(w).Encode(all)
	case "digest":
		sha := sha256.New()
		n, _ := io.Copy(sha, r.Body)
		say(w, fmt.Sprintf(`[%d, "%x"]`, n, sha.Sum(nil)))
	case "long":
		w.Header().Set("X-Long", strings.Repeat("v", 65536))
		say(w, "long")
	case "big":
		for range 512 {
			say(w, strings.Repeat("x", 65536))
		}
	case "stream":
		say(w, "one")
		await(file)
		say(w, "two")
	case "upload":
		first := make([]byte, 1000)
		_, _ = io.ReadFull(r.Body, first)
		touch(file)
		n, _ := io.Copy(io.Discard, r.Body)
		say(w, fmt.Sprint(n+1000))
	case "early":
		w.WriteHeader(http.StatusForbidden)
		say(w, "early")
	case "dies":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "dies-later":
		say(w, strings.Repeat("x", 100_000))
		touch(file)
		await(file + "-go")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "hangs":
		for say(w, strings.Repeat("tick", 100)) {
			time.Sleep(10 * time.Millisecond)
		}
		touch(file)
	}
}
