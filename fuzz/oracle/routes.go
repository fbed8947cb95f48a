package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/gin-gonic/gin"
)

// list has the routes of every version of Ollama.
const list = "../../tests/support/ollama-routes.tsv"

// addRoutes adds every route of the list.
func addRoutes(engine *gin.Engine) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 4 {
			return fmt.Errorf("%s: want four fields: %q", list, line)
		}
		if method, path := fields[0], fields[1]; method == "*" {
			engine.Any(path, note)
		} else {
			engine.Handle(method, path, note)
		}
	}
	return nil
}

// ollama returns Ollama's handler.
func ollama() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	if err := addRoutes(engine); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
	mux := http.NewServeMux()
	mux.Handle("/", beforeGin(engine))
	return mux
}

// beforeGin is the registry of older versions, which handles two paths before gin, for every method
// (server/internal/registry/server.go).
func beforeGin(gin http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/delete", "/api/pull":
			reached(r, r.URL.Path, "")
		default:
			gin.ServeHTTP(w, r)
		}
	})
}

func note(c *gin.Context) {
	parameter := ""
	if len(c.Params) > 0 {
		parameter = c.Params[0].Value
	}
	reached(c.Request, c.FullPath(), parameter)
}

func reached(r *http.Request, path, parameter string) {
	c := r.Context().Value(connKey{}).(*conn)
	c.reached(r.Method + " " + path + " " + url.QueryEscape(parameter))
}
