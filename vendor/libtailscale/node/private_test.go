package node

import (
	"reflect"
	"strings"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

func TestPrivateFieldsExist(t *testing.T) {
	must(t, checkPrivateFields(privateFields))
}

type inner struct{ queue chan int }

type outer struct {
	name string
	in   *inner
}

func TestMismatchOfAPrivateFieldIsAnError(t *testing.T) {
	owner, channel := reflect.TypeFor[outer](), reflect.TypeFor[chan int]()
	must(t, checkPrivateFields([]privateField{{owner, "in.queue", channel, "test"}}))
	for _, c := range []struct {
		field privateField
		words []string
	}{
		{privateField{owner, "lost", channel, "test"}, []string{"field lost of node.outer", "does not exist"}},
		{privateField{owner, "in.lost", channel, "test"}, []string{"field in.lost", "does not exist"}},
		{privateField{owner, "name.queue", channel, "test"}, []string{"field name.queue", "does not exist"}},
		{privateField{owner, "name", channel, "reset"}, []string{"field name", "is a string", "must be a chan int to reset"}},
		{
			privateField{reflect.TypeFor[gonet.TCPConn](), "endpoint", channel, "test"},
			[]string{"in gvisor.dev/gvisor/pkg/tcpip/adapters/gonet ", "go.mod"},
		},
	} {
		err := checkPrivateFields([]privateField{c.field})
		for _, words := range c.words {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%v: %v, not %q", c.field.path, err, words)
			}
		}
	}
}

// A node that can't reset connections must not start.
func TestNodeDoesNotStartWithoutAPrivateField(t *testing.T) {
	known := privateFields
	t.Cleanup(func() { privateFields = known })
	privateFields = append([]privateField{{reflect.TypeFor[outer](), "lost", reflect.TypeFor[int](), "test"}}, known...)
	n := newTailnet(t).node(t, "n")
	if _, err := n.Up(deadline(t)); err == nil || !strings.Contains(err.Error(), "field lost") {
		t.Errorf("the node started: %v", err)
	}
}
