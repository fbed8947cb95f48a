// Upstream stands in for Ollama. It answers at once, so that only the path to it is
// measured.
//
//	GET  /api/version                     a small answer
//	GET  /api/version?bytes=N             N bytes
//	POST /v1/responses                    reads the body, of any size
//	POST /v1/chat/completions?chunks=N&every=10ms   N events, each with the time of its sending
//
// No model answers at the same moment, and some proxies abort such an answer, since they
// are still reading the end of the request. So a POST is answered after a pause, which is
// not measured.
//
// The first line on standard output is its address.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"remote-ollama-proxy/benches/clock"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	go func() { // the parent has ended
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/version", version)
	mux.HandleFunc("POST /v1/responses", sink)
	mux.HandleFunc("POST /v1/chat/completions", stream)
	log.Fatal(http.Serve(listener, mux))
}

func version(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	size, _ := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
	if size == 0 {
		io.WriteString(w, `{"version":"0.32.15"}`)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	for block := make([]byte, 64<<10); size > 0; size -= int64(len(block)) {
		if _, err := w.Write(block[:min(int64(len(block)), size)]); err != nil {
			return
		}
	}
}

const pause = 2 * time.Millisecond

func sink(w http.ResponseWriter, r *http.Request) {
	n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{r.Body}, make([]byte, 256<<10))
	if err != nil {
		return
	}
	time.Sleep(pause)
	fmt.Fprintf(w, `{"received":%d}`, n)
}

// event has the length of a token's event. Its stamps are the times of the request and of
// the sending.
const event = `data: {"asked":0000000000000000,"sent":0000000000000000,"id":"chatcmpl-738","object":"chat.completion.chunk",` +
	`"created":1763000000,"model":"llama3.2","choices":[{"index":0,"delta":{"role":"assistant","content":" the"},"finish_reason":null}]}` + "\n\n"

// stream sends events, with a jitter, so that streams do not stay in step; those of models
// do not either.
func stream(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	event := []byte(event)
	put(event, `"asked":`, clock.Now())
	chunks, _ := strconv.Atoi(r.URL.Query().Get("chunks"))
	every, _ := time.ParseDuration(r.URL.Query().Get("every"))
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	next := time.Now().Add(pause)
	for i := range chunks {
		select {
		case <-time.After(time.Until(next)):
		case <-r.Context().Done():
			return
		}
		put(event, `"sent":`, clock.Now())
		if _, err := w.Write(event); err != nil || out.Flush() != nil {
			return
		}
		if i == 0 && every > 0 {
			next = next.Add(rand.N(every))
		}
		next = next.Add(every)
	}
}

// put writes a time at the key.
func put(event []byte, key string, at int64) {
	digits := event[bytes.Index(event, []byte(key))+len(key):][:16]
	for i := range digits {
		digits[len(digits)-1-i] = byte('0' + at%10)
		at /= 10
	}
}
