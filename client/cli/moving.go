package cli

import (
	"fmt"
	"strconv"
	"time"

	"viewring/client/admin"
	"viewring/ring"
)

// printMoving shows how far the servers are that lack copies.
func (a *app) printMoving(st *admin.Status) {
	var rows [][]string
	for _, m := range st.Moving() {
		left := "-"
		if m.TimeLeft >= 0 {
			left = toGo(m.TimeLeft)
		}
		rows = append(rows, []string{m.ID.String(), strconv.Itoa(m.Done), size(m.DoneBytes), strconv.Itoa(m.Left), size(m.LeftBytes), rateNow(m.Rate), left})
	}
	if len(rows) > 0 {
		a.table([]string{"COPIES TO", ">DONE", ">BYTES", ">LEFT", ">BYTES", ">RATE", ">TO GO"}, rows)
	}
}

// rateNow is how fast bytes are copied; a dash: none are.
func rateNow(bytesPerSecond uint64) string {
	if bytesPerSecond == 0 {
		return "-"
	}
	return size(bytesPerSecond) + "/s"
}

// movingObjects are the servers that lack copies in the output of query_servers --json, and
// what they have done together.
func movingObjects(st *admin.Status) (objects []map[string]any, done int, bytes uint64) {
	objects = []map[string]any{}
	for _, m := range st.Moving() {
		o := map[string]any{"id": m.ID.String(), "done": m.Done, "done_bytes": m.DoneBytes, "left": m.Left, "left_bytes": m.LeftBytes,
			"rate": m.Rate, "seconds": secondsLeft(m.TimeLeft), "allowed": m.Allowed, "held_by": heldBy(m.HeldBy)}
		if t := st.Server(m.ID).Stats; t.Waiting > 0 {
			o["waiting"], o["waiting_for"] = t.Waiting, waitingFor(uint8(t.WaitingWhy), ring.ServerID(t.WaitingOn))
		}
		objects = append(objects, o)
		done += m.Done
		bytes += m.DoneBytes
	}
	return objects, done, bytes
}

// secondsLeft is a time left in JSON; -1: unknown.
func secondsLeft(d time.Duration) float64 {
	if d < 0 {
		return -1
	}
	return d.Seconds()
}

// waitingFor is what copies wait for, in a few words for programs.
func waitingFor(why uint8, on ring.ServerID) string {
	switch why {
	case admin.WaitingPaused:
		return "resume"
	case admin.WaitingFull:
		return "room"
	case admin.WaitingLimit:
		return "rate"
	case admin.WaitingClients:
		return "clients"
	}
	return on.String()
}

// heldBy is who holds a server's copying back, in a word for programs; "": nobody.
func heldBy(by uint8) string {
	switch by {
	case admin.HeldByRate:
		return "rate"
	case admin.HeldByOwn:
		return "own clients"
	case admin.HeldBySources:
		return "clients of sources"
	}
	return ""
}

// heldForClients says how much of the copying is held back for clients; "": nothing is.
func heldForClients(st *admin.Status) string {
	allowed, held := uint64(0), false
	for _, m := range st.Moving() {
		if m.HeldForClients() {
			allowed, held = allowed+m.Allowed, true
		}
	}
	if !held {
		return ""
	}
	return fmt.Sprintf(", held back for clients to %s/s", size(allowed))
}

// waitingProblem says why copies do not come to a server.
func waitingProblem(st *admin.Status, id ring.ServerID, t *admin.ServerStats) string {
	if t.Waiting == 0 || t.Left == 0 {
		return ""
	}
	w := admin.Wait{Why: uint8(t.WaitingWhy), On: ring.ServerID(t.WaitingOn), Copies: t.Waiting, For: time.Duration(t.WaitingSeconds) * time.Second}
	down := ""
	if m := st.View.Member(w.On); w.On != 0 && (m == nil || !m.Up) {
		down = ", which is down"
	}
	return waitText(id.String(), &w, t.MoveLimit, down)
}

// waitText says why copies do not come to a server. down is added to the name of who is
// waited for.
func waitText(server string, w *admin.Wait, limit uint64, down string) string {
	some := someWait(w.Copies)
	since := ""
	if w.For > 0 {
		since = ", for " + span(w.For)
	}
	switch w.Why {
	case admin.WaitingPaused:
		return fmt.Sprintf("its copying is paused, and %s: 'viewring rebalance resume --server %s' lets it go on", some, server)
	case admin.WaitingFull:
		return fmt.Sprintf("its disk is nearly full, and %s until it has room", some)
	case admin.WaitingLimit:
		return fmt.Sprintf("%s for its rate of %s/s%s", some, size(limit), since)
	case admin.WaitingClients:
		return fmt.Sprintf("%s: clients go first%s", some, since)
	case admin.WaitingPrimary:
		return fmt.Sprintf("%s for %v%s, the primary, to let them act%s", some, w.On, down, since)
	case admin.WaitingSlow:
		return fmt.Sprintf("%s for %v%s, whose disk or load is slow: others come from it, these do not%s", some, w.On, down, since)
	case admin.WaitingSilent:
		return fmt.Sprintf("%s for %v%s: nothing comes from it%s", some, w.On, down, since)
	}
	return some + since
}

func someWait(copies uint64) string {
	if copies == 1 {
		return "1 copy of a partition waits"
	}
	return fmt.Sprintf("%d copies of partitions wait", copies)
}
