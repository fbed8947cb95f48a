package main

import (
	"encoding/hex"
	"encoding/json"

	"github.com/gin-gonic/gin/binding"
)

// models returns the model that each of Ollama's two parsers finds in a body. The handlers use gin to bind the body to a
// struct (api/types.go, openai, anthropic). The proxy for cloud models parses it into a map (server/cloud_proxy.go). If the
// first byte is not 0, "name" replaces an absent model, as for /api/show, which only its handler parses. The answer is a
// word for each parser: "=" and the name in hexadecimal, or "-".
func models(question []byte) string {
	if len(question) == 0 {
		return "- -"
	}
	show, body := question[0] != 0, question[1:]
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
