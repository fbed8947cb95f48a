// The pairs of pairs.py, with Go's client: go run pairs.go PROXY_URL COUNT
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

type request struct {
	path         string
	size, status int
}

var cases = []request{
	{"/v1/embeddings", 30, 403},
	{"/v1/embeddings", 200_000, 403},
	{"/v1/embeddings", 300_000, 403},
	{"/v1/chat/completions", 300_000, 400},
}

var ordinary = []request{{"/v1/models", 0, 200}, {"/api/show", 2, 400}}

// late is a body that is sent a moment after the head.
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
	ask := func(r request) error {
		method, body := "GET", io.Reader(nil)
		if r.size > 0 {
			method, body = "POST", &late{Reader: strings.NewReader(strings.Repeat("x", r.size))}
		}
		request, err := http.NewRequest(method, base+r.path, body)
		if err != nil {
			return err
		}
		request.ContentLength = int64(r.size)
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != r.status {
			return fmt.Errorf("answered %s", answer.Status)
		}
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
	failed := 0
	for n := range count {
		first, second := cases[n%len(cases)], ordinary[n/len(cases)%len(ordinary)]
		err := ask(first)
		if err == nil {
			err = ask(second)
		}
		if err != nil {
			failed++
			fmt.Fprintf(os.Stderr, "net/http: %v then %v: %v\n", first, second, err)
		}
	}
	fmt.Printf("net/http: %d pairs, %d failed\n", count, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
