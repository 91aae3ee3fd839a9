//go:build race

package seglog_test

func init() { raceDetector = true }
