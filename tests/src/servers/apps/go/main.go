// A server on net/http with faults that are asked for by path: PORT IDLE_SECONDS. Since Go 1.24 it listens by Multipath
// TCP.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var upstream = map[string]int{"/call": 7200, "/refused": 7201, "/silent": 7202, "/hang": 7203}

type key struct{}

// spin computes for so long by the thread's own clock, however often it is interrupted.
func spin(ms int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := func() int64 {
		var usage syscall.Rusage
		_ = syscall.Getrusage(1, &usage) // RUSAGE_THREAD
		return usage.Utime.Nano() + usage.Stime.Nano()
	}
	for end := used() + int64(ms)*1e6; used() < end; {
	}
}

func call(path string, ms int) int {
	limit := 500 * time.Millisecond
	if path == "/call" {
		limit = 10 * time.Second
	}
	client := http.Client{Timeout: limit}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/sleep?ms=%d", upstream[path], ms))
	if err != nil {
		return 502
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return 200
}

// option sets an option of the connection that the request came on.
func option(request *http.Request, name, value int) {
	connection := request.Context().Value(key{}).(*net.TCPConn)
	raw, err := connection.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, name, value) })
	}
}

func serve(response http.ResponseWriter, request *http.Request) {
	begun := time.Now()
	number := func(name string) int {
		value, _ := strconv.Atoi(request.URL.Query().Get(name))
		return value
	}
	path, ms := request.URL.Path, number("ms")
	body, status := "ok", 200
	flush := response.(http.Flusher).Flush
	switch path {
	case "/compute":
		spin(ms)
	case "/sleep":
		time.Sleep(time.Duration(ms) * time.Millisecond)
	case "/call", "/refused", "/silent", "/hang":
		status = call(path, ms)
	case "/big":
		body = strings.Repeat("x", number("bytes"))
	case "/stream":
		_, _ = io.WriteString(response, ".")
		flush()
		for range number("n") {
			time.Sleep(time.Duration(ms) * time.Millisecond)
			_, _ = io.WriteString(response, ".")
			flush()
		}
		return
	case "/split":
		option(request, syscall.TCP_NODELAY, 0)
		response.Header().Set("Content-Length", "2")
		response.WriteHeader(200)
		flush()
	case "/cork":
		option(request, syscall.TCP_CORK, 1)
	case "/unread":
		connection, _, err := response.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = fmt.Fprintf(connection, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("x", 100_000))
			_ = connection.Close()
		}
		return
	default:
		_, _ = io.Copy(io.Discard, request.Body)
	}
	if path != "/split" {
		response.Header().Set("X-Took", strconv.FormatInt(time.Since(begun).Microseconds(), 10))
		response.Header().Set("Content-Length", strconv.Itoa(len(body)))
		response.WriteHeader(status)
	}
	_, _ = io.WriteString(response, body)
}

func main() {
	idle, _ := strconv.ParseFloat(os.Args[2], 64)
	server := http.Server{
		Addr:        ":" + os.Args[1],
		Handler:     http.HandlerFunc(serve),
		IdleTimeout: time.Duration(idle * float64(time.Second)),
		ConnContext: func(ctx context.Context, connection net.Conn) context.Context {
			return context.WithValue(ctx, key{}, connection)
		},
	}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}
