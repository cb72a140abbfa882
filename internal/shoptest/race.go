//go:build race

package shoptest

// raceDetector reports whether the test runs with the race detector.
const raceDetector = true
