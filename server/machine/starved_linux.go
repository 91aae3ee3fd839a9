package machine

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// Starved returns how long, since the machine's start, something that could run waited for a
// processor. ok is false where the kernel does not say.
func Starved() (waited time.Duration, ok bool) {
	b, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return 0, false
	}
	return starvedIn(b)
}

// starvedIn finds it in what the kernel tells.
func starvedIn(b []byte) (waited time.Duration, ok bool) {
	for line := range bytes.Lines(b) {
		words := bytes.Fields(line)
		if len(words) == 0 || string(words[0]) != "some" {
			continue
		}
		total, found := bytes.CutPrefix(words[len(words)-1], []byte("total="))
		us, err := strconv.ParseInt(string(total), 10, 64)
		return time.Duration(us) * time.Microsecond, found && err == nil
	}
	return 0, false
}
