//go:build race

package node

// The race detector multiplies memory and time.
const (
	raceDetector = true
	bulkBytes    = 8 << 20
	churned      = 1000
)
