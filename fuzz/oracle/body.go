package main

import (
	"encoding/hex"
	"encoding/json"

	"github.com/gin-gonic/gin/binding"
)

// models answers which model each of Ollama's two readers finds in a body: its handlers, which have gin bind the body to a
// struct, as every request with a model has one (api/types.go, openai, anthropic), and what looks for models in the cloud,
// which reads it into a map (server/cloud_proxy.go). The first byte says whether a "name" stands for an absent model, as
// for /api/show, which nothing looks at before its handler. A word for each: the name in hexadecimal after a "=", or "-".
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
