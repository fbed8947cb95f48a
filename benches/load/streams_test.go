package load

import (
	"slices"
	"testing"
)

func TestEventsAreFoundHoweverTheyAreCut(t *testing.T) {
	const stream = `data: {"sent":0000000000000001,"x":"..."}` + "\n\n" + `data: {"sent":0000000000000022}` + "\n\n" + `{"sent":0000000000000333`
	want := []int64{1, 22, 333}
	for size := 1; size <= len(stream); size++ {
		f := stamps{key: `"sent":`}
		var got []int64
		for part := range slices.Chunk([]byte(stream), size) {
			f.each(part, func(at int64) { got = append(got, at) })
		}
		if !slices.Equal(got, want) {
			t.Errorf("in parts of %d bytes: %v", size, got)
		}
	}
}
