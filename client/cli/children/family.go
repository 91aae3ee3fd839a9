package children

import (
	"syscall"
	"time"
)

// lookEvery is how often End looks who is left.
const lookEvery = 10 * time.Millisecond

// Family is a command with all that it started, and what that started. On Linux these are all
// descendants of this process, once it adopts them (Adopt); elsewhere it is the command's
// process group if it has one of its own, or the command alone.
type Family struct {
	Pid   int   // of the command; its owner waits for it. 0: there is none
	Group bool  // the command leads a process group of its own
	Spare []int // descendants of this process that do not belong to it
}

// End ends the family: SIGTERM, and SIGKILL after grace. It returns when all have ended, and
// how many could not be: they run as another user.
func (f Family) End(grace time.Duration) (left int) {
	f.Signal(syscall.SIGTERM)
	f.Signal(syscall.SIGCONT) // what is stopped hears of the other one so
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	over := time.NewTimer(grace)
	defer over.Stop()
	for f.Living() > 0 {
		select {
		case <-over.C:
			return f.kill(tick)
		case <-tick.C:
		}
	}
	return 0
}

// kill ends the family by SIGKILL, again and again: what is killed may just have started more.
func (f Family) kill(tick *time.Ticker) (left int) {
	for {
		denied := f.Signal(syscall.SIGKILL)
		if f.Living() <= denied {
			return denied
		}
		<-tick.C
	}
}
