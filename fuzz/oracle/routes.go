package main

import (
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"
)

// routes are all routes of Ollama 0.17 to 0.32, by method. Source: server/routes.go.
var routes = map[string][]string{
	http.MethodGet: {
		"/", "/api/version", "/api/status", "/api/tags", "/api/ps", "/api/experimental/aliases",
		"/api/experimental/model-recommendations", "/v1/models", "/v1/models/:model",
	},
	http.MethodHead: {"/", "/api/version", "/api/tags", "/api/blobs/:digest"},
	http.MethodPost: {
		"/api/pull", "/api/push", "/api/show", "/api/me", "/api/signout", "/api/create", "/api/copy",
		"/api/blobs/:digest", "/api/generate", "/api/chat", "/api/embed", "/api/embeddings",
		"/api/experimental/aliases", "/api/experimental/web_search", "/api/experimental/web_fetch",
		"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages",
		"/v1/images/generations", "/v1/images/edits", "/v1/audio/transcriptions",
	},
	http.MethodDelete: {"/api/delete", "/api/user/keys/:encodedKey", "/api/experimental/aliases"},
}

// ollama returns Ollama's handler.
func ollama() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	for method, paths := range routes {
		for _, path := range paths {
			engine.Handle(method, path, note)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/", beforeGin(engine))
	return mux
}

// beforeGin is Ollama's newer registry, which handles two paths before gin, for every method
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
