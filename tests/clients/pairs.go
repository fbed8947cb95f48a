// Pairs of requests as pairs.py makes them, with Go's client: go run pairs.go PROXY_URL COUNT
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

var cases = []struct {
	path         string
	size, status int
}{
	{"/v1/embeddings", 30, 403},
	{"/v1/embeddings", 200_000, 403},
	{"/v1/embeddings", 300_000, 403},
	{"/v1/chat/completions", 300_000, 400},
}

// late is a body that comes a moment after the head.
type late struct {
	io.Reader
	begun bool
}

func (l *late) Read(b []byte) (int, error) {
	if !l.begun {
		l.begun = true
		time.Sleep(5 * time.Millisecond)
	}
	return l.Reader.Read(b)
}

func main() {
	base := strings.TrimSuffix(os.Args[1], "/")
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	client := &http.Client{
		Transport: &http.Transport{MaxConnsPerHost: 1},
		Timeout:   30 * time.Second,
	}
	ask := func(method, path string, size int) (int, error) {
		var body io.Reader
		if size > 0 {
			body = &late{Reader: strings.NewReader(strings.Repeat("x", size))}
		}
		request, err := http.NewRequest(method, base+path, body)
		if err != nil {
			return 0, err
		}
		request.ContentLength = int64(size)
		answer, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode, err
	}
	failed := 0
	for n := range count {
		c := cases[n%len(cases)]
		first, err := ask("POST", c.path, c.size)
		second := 0
		if err == nil {
			second, err = ask("GET", "/v1/models", 0)
		}
		if err != nil || first != c.status || second != 200 {
			failed++
			fmt.Fprintf(os.Stderr, "net/http: %v: answered %d, then %d: %v\n", c, first, second, err)
		}
	}
	fmt.Printf("net/http: %d pairs, %d failed\n", count, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
