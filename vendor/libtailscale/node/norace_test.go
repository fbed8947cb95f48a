//go:build !race

package node

const (
	raceDetector = false
	bulkBytes    = 128 << 20
	churned      = 10_000
)
