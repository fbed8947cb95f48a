// Answers evaluates policies, for comparison with other evaluators. It reads a question
// on each line of standard input, in JSON, and writes an answer on each line of standard
// output.
//
//	{"policy": "...", "admins": ["..."], "capability": "...", "nodes": [{"user": "...", "tags": [], "addresses": []}], "traffic": [{"protos": [6], "port": 443}]}
//	{"admits": [[[true]]], "values": [[[...]]]}
//
// The first index is the source, the second the destination; in admits the third is the
// traffic. The answer to an invalid policy, including one whose own tests fail, is
// {"error": "..."}.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/tailscale/hujson"
	"remote-ollama-proxy/tests/tailnet/policy"
	"tailscale.com/tailcfg"
)

type question struct {
	Policy     string                 `json:"policy"`
	SyntaxOnly bool                   `json:"syntax_only"`
	Admins     []string               `json:"admins"`
	Capability tailcfg.PeerCapability `json:"capability"`
	Nodes      []node                 `json:"nodes"`
	Traffic    []traffic              `json:"traffic"`
}

type node struct {
	User      string       `json:"user"`
	Tags      []string     `json:"tags"`
	Addresses []netip.Addr `json:"addresses"`
}

type traffic struct {
	Protos []int  `json:"protos"` // any of them
	Port   uint16 `json:"port"`
}

type answer struct {
	Error  string                   `json:"error,omitempty"`
	Admits [][][]bool               `json:"admits"`
	Values [][][]tailcfg.RawMessage `json:"values"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "answers: %v\n", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q question
		if err := questions.Decode(&q); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		a, err := q.answer()
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

func (q question) answer() (a answer, err error) {
	if q.SyntaxOnly {
		_, err = hujson.Parse([]byte(q.Policy))
		return a, err
	}
	p, err := policy.Parse([]byte(q.Policy), q.Admins...)
	if err != nil {
		return a, err
	}
	nodes := make([]policy.Node, len(q.Nodes))
	for i, n := range q.Nodes {
		nodes[i] = policy.Node{ID: fmt.Sprint(i), User: n.User, Tags: n.Tags, Addresses: n.Addresses}
	}
	for _, src := range nodes {
		var admits [][]bool
		var values [][]tailcfg.RawMessage
		for _, dst := range nodes {
			row := make([]bool, len(q.Traffic))
			for i, t := range q.Traffic {
				if row[i], err = p.Admits(src, dst, t.Protos, t.Port); err != nil {
					return a, err
				}
			}
			v, err := p.Capabilities(src, dst, q.Capability)
			if err != nil {
				return a, err
			}
			admits, values = append(admits, row), append(values, v)
		}
		a.Admits, a.Values = append(a.Admits, admits), append(a.Values, values)
	}
	return a, nil
}
