package main

import (
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/gin-gonic/gin/binding"
)

// models returns the model that each of Ollama's two parsers finds in a body. The handlers use gin to bind the body to a
// struct (api/types.go, openai, anthropic). The proxy for cloud models parses it into a map (server/cloud_proxy.go). If the
// first byte is not 0, "name" replaces an absent model, as for /api/show, which only its handler parses. The answer is a
// word for each parser: "=" and the name in hexadecimal, or "-". A third word has the settings of models in the body.
func models(question []byte) string {
	if len(question) == 0 {
		return "- - -"
	}
	body := question[1:]
	return names(question[0] != 0, body) + " " + settings(body)
}

// settings returns "=" and the first letter of each key that the handlers of /api/chat, /api/generate, /api/embed and
// /api/embeddings find in a body and that changes a loaded model: keep_alive, shift, and o for a key of options. "-" if
// the body can't be bound.
func settings(body []byte) string {
	var bound struct {
		KeepAlive json.RawMessage            `json:"keep_alive"`
		Shift     json.RawMessage            `json:"shift"`
		Options   map[string]json.RawMessage `json:"options"`
	}
	if err := binding.JSON.BindBody(body, &bound); err != nil {
		return "-"
	}
	found := "="
	if bound.KeepAlive != nil {
		found += "k"
	}
	if bound.Shift != nil {
		found += "s"
	}
	for key := range bound.Options {
		if slices.Contains(loadOptions, key) {
			return found + "o"
		}
	}
	return found
}

// loadOptions has the fields of api.Runner.
var loadOptions = []string{"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict"}

func names(show bool, body []byte) string {
	if show {
		var bound struct {
			Model string `json:"model"`
			Name  string `json:"name"`
		}
		if err := binding.JSON.BindBody(body, &bound); err != nil {
			return "- -"
		}
		if bound.Model == "" {
			bound.Model = bound.Name
		}
		return word(bound.Model) + " -"
	}

	first, second := "-", "-"
	var bound struct {
		Model string `json:"model"`
	}
	if err := binding.JSON.BindBody(body, &bound); err == nil {
		first = word(bound.Model)
	}
	var whole map[string]json.RawMessage
	var model string
	if json.Unmarshal(body, &whole) == nil && json.Unmarshal(whole["model"], &model) == nil {
		second = word(model)
	}
	return first + " " + second
}

func word(model string) string { return "=" + hex.EncodeToString([]byte(model)) }
