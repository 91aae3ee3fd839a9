package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/ring"
)

func (a *app) queryServersCmd() *cobra.Command {
	var f watchServersFlags
	cmd := &cobra.Command{
		Use:   "query_servers",
		Short: "show the servers, and whether the data is safe",
		Long: `Show the view leader's picture: the epoch, every server with its partitions as
primary, backup and learner, its keys and bytes (all copies that it holds), and
one line that answers "is my data safe?". The state says if a disk is nearly full, and
how many keys are corrupt there and not repaired yet.

--watch goes on. On a terminal it is a screen that stays: requests a second and
percentiles of each server, keys to sort, to open a server, to pause, ? for
help, q to quit. Elsewhere, with --plain and where TERM is dumb, it prints all
again when it changes.`,
		Example: "  viewring query_servers\n  viewring query_servers --watch\n  viewring query_servers --watch --plain --interval 10s\n" +
			"  viewring query_servers --json",
		Args: wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.checkWatch(cmd, &f); err != nil {
				return err
			}
			if f.watch {
				return a.watchServers(cmd.Context(), &f)
			}
			return a.onCluster(func(ctx context.Context, c *admin.Cluster, _ []string) error {
				st, err := c.Status(ctx)
				if err != nil {
					return err
				}
				a.printStatus(st)
				return nil
			})(cmd, nil)
		},
	}
	cmd.Flags().BoolVar(&f.watch, "watch", false, "go on until Ctrl-C, or q on a screen")
	cmd.Flags().BoolVar(&f.plain, "plain", false, "with --watch: lines, on a terminal too")
	cmd.Flags().DurationVar(&f.interval, "interval", 0, "with --watch: ask every `SPAN` (default 1s on a screen, else 500ms)")
	return cmd
}

func (a *app) printStatus(st *admin.Status) {
	if a.flags.json {
		a.printJSON(statusObject(st))
		return
	}
	v := st.View
	a.printf("cluster %s  epoch %d  %s  %d partitions\n", hex.EncodeToString(v.Cluster[:4]), v.Epoch, count(len(v.Members), "server"), len(v.Partitions))
	var rows [][]string
	for i := range v.Members {
		m := &v.Members[i]
		h := st.Server(m.ID)
		heard := "never"
		if h.Heard {
			heard = span(h.Age) + " ago"
		}
		primary, backup, learner := st.Roles(m.ID)
		state := stateOf(m, &h.Stats)
		if m.Up && !h.Lately() {
			state = m.State() + " when last heard of"
		}
		if left := time.Until(h.Held); left > 0 && !m.Up {
			state += fmt.Sprintf(", flapping: out for %s more", span(left))
		}
		rows = append(rows, []string{m.ID.String(), m.Addr, state,
			strconv.Itoa(primary), strconv.Itoa(backup), strconv.Itoa(learner),
			strconv.FormatUint(h.Stats.Keys, 10), size(h.Stats.Stored()), heard})
	}
	head := []string{"ID", "ADDRESS", "STATE", ">PRIMARY", ">BACKUP", ">LEARNER", ">KEYS", ">BYTES", ">HEARTBEAT"}
	insert := func(name string, of func(*ring.Member) string) {
		head = slices.Insert(head, placeColumn, name)
		for i := range rows {
			rows[i] = slices.Insert(rows[i], placeColumn, of(&v.Members[i]))
		}
	}
	if v.Weighted() {
		insert(">WEIGHT", func(m *ring.Member) string { return strconv.Itoa(int(m.Weight)) })
	}
	if slices.ContainsFunc(v.Members, func(m ring.Member) bool { return m.Zone != "" }) {
		insert("ZONE", zoneOf)
	}
	a.table(head, rows)
	a.printMoving(st)
	for _, p := range problemsOf(st, time.Now()) {
		a.printf("%s\n", a.paint(a.env.Stdout, yellow, p.Server+": "+p.Problem))
	}
	a.printSafety(st)
}

// placeColumn is where zones and weights stand, in clusters that have any.
const placeColumn = 2

// zoneOf is a server's zone as tables show it.
func zoneOf(m *ring.Member) string {
	if m.Zone == "" {
		return "-"
	}
	return quoted(m.Zone)
}

// problem is what is wrong with a server, beside its state.
type problem struct {
	Server  string `json:"server"`
	Problem string `json:"problem"`
}

// problemsOf are the reasons that servers give, for copies that are missing and for those that soon may.
func problemsOf(st *admin.Status, now time.Time) []problem {
	all := []problem{}
	absent := map[ring.ServerID]int{}
	if len(st.WaitsOnlyFor()) == 0 { // else the verdict says so
		absent = st.WaitsFor()
	}
	for i := range st.View.Members {
		m := &st.View.Members[i]
		h := st.Server(m.ID)
		if n := absent[m.ID]; n > 0 {
			all = append(all, problem{m.ID.String(), "it is down, and " + someWait(uint64(n)) + " for it"})
		}
		if !m.Up || !h.Heard {
			continue // what it said last no longer stands
		}
		expires := time.Time{}
		if at := h.Stats.CertExpires; at > 0 {
			expires = time.Unix(int64(at), 0)
		}
		for _, text := range []string{filesProblem(&h.Stats), linkProblem(&h.Stats), certificateProblem(expires, now), waitingProblem(st, m.ID, &h.Stats)} {
			if text != "" {
				all = append(all, problem{m.ID.String(), text})
			}
		}
	}
	return all
}

// filesScarce is how few descriptors are left where connections may fail for want of one.
const filesScarce = 4

func filesProblem(s *admin.ServerStats) string {
	if s.FilesMax == 0 || s.Files+filesScarce < s.FilesMax {
		return ""
	}
	return fmt.Sprintf("no file descriptor is left of the %d that the system lets it have: raise 'ulimit -n' (LimitNOFILE of systemd)", s.FilesMax)
}

// linkProblem says why a server can't connect to others, which costs copies.
func linkProblem(s *admin.ServerStats) string {
	if s.Unlinked == 0 {
		return ""
	}
	to := ring.ServerID(s.UnlinkedTo).String()
	if s.Unlinked > 1 {
		to = fmt.Sprintf("%s and %d more", to, s.Unlinked-1)
	}
	why := ""
	switch s.UnlinkedWhy {
	case admin.UnlinkedCertificate:
		why = ": the other's certificate is not valid for its address, expired, or of another CA; the log says which"
	case admin.UnlinkedRefused:
		why = ": it refuses this server's certificate"
	case admin.UnlinkedPassword:
		why = ": it has another password, or none"
	case admin.UnlinkedFiles:
		why = ": this server has no file descriptor left"
	case admin.UnlinkedTLS:
		why = ": one of them speaks TLS, and the other does not"
	}
	return "no connection to " + to + why
}

// certificateSoon is how long before its end a certificate is a problem.
const certificateSoon = 30 * 24 * time.Hour

func certificateProblem(expires, now time.Time) string {
	switch left := expires.Sub(now); {
	case expires.IsZero() || left > certificateSoon:
		return ""
	case left <= 0:
		return "its certificate has expired, at " + expires.Local().Format(time.DateTime)
	case left <= 24*time.Hour:
		return "its certificate expires within a day, at " + expires.Local().Format(time.DateTime)
	default:
		return fmt.Sprintf("its certificate expires in %s, at %s", count(int(left.Hours()/24), "day"), expires.Local().Format(time.DateTime))
	}
}

// stateOf is a server's state, and what is wrong with its disk.
func stateOf(m *ring.Member, s *admin.ServerStats) string {
	state := m.State()
	if m.Up && s.Full {
		state += ", disk full"
	}
	if n := s.Corrupt - min(s.Corrupt, s.Repaired); m.Up && n > 0 {
		state += fmt.Sprintf(", %d corrupt", n)
	}
	return state
}

// printSafety answers "is my data safe?" in one line.
func (a *app) printSafety(st *admin.Status) {
	text, level := verdict(st)
	a.printf("%s; %s\n", a.paint(a.env.Stdout, level.color(), text), rebalancing(st))
}

// concern is how much a verdict should concern people. The JSON has its word.
type concern string

const (
	calm    concern = "safe"
	warning concern = "warning"
	alarm   concern = "alarm"
)

func (c concern) color() color {
	switch c {
	case calm:
		return green
	case alarm:
		return red
	}
	return yellow
}

// verdict answers "is my data safe?".
func verdict(st *admin.Status) (text string, level concern) {
	s := st.Safety()
	total := len(st.View.Partitions)
	switch {
	case len(st.View.Members) == 0:
		return "no server has joined yet", warning
	case s.Unheard > 0:
		return fmt.Sprintf("not known: %d of the %d servers not heard of lately; remembered: %d of %d partitions whole",
			s.Unheard, s.Up, s.Whole, total), warning
	case s.Unavailable > 0:
		return fmt.Sprintf("NOT ALL SERVED: %d of %d partitions are unavailable, %d have too few copies, %d have all", s.Unavailable, total, s.TooFew, s.Whole), alarm
	case s.TooFew > 0:
		text = fmt.Sprintf("at risk: %d of %d partitions have too few copies (fewer than %d)", s.TooFew, total, max(s.Copies, int(st.View.MinCopies)))
		if s.ReadOnly > 0 {
			text += fmt.Sprintf(", %d of them are read-only", s.ReadOnly)
		}
		return text, warning
	case s.Copies < 3:
		return fmt.Sprintf("all %d partitions have %s; 3 servers would make it 3", total, copies(s.Copies)), warning
	}
	return fmt.Sprintf("safe: all %d partitions have all 3 copies", total), calm
}

func copies(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return fmt.Sprintf("%d copies", n)
}

func rebalancing(st *admin.Status) string {
	s := st.Safety()
	switch down := st.WaitsOnlyFor(); {
	case s.Balanced:
		return "rebalanced"
	case s.Left == 0:
		return "rebalancing: finishing"
	case len(down) > 0:
		return fmt.Sprintf("waiting for %s, which is down, with %s", joined(down), leftCopies(s))
	case s.Rate == 0:
		return fmt.Sprintf("rebalancing: %s left, about %s, nothing is copied now", leftCopies(s), size(s.LeftBytes))
	}
	text := fmt.Sprintf("rebalancing: %s left, about %s, %s/s", leftCopies(s), size(s.LeftBytes), size(s.Rate))
	if s.TimeLeft >= 0 {
		text += ", " + toGo(s.TimeLeft) + " to go"
	}
	return text + heldForClients(st)
}

func leftCopies(s admin.Safety) string {
	return strings.Replace(count(int(s.Left), "partition copy"), "copys", "copies", 1)
}

func joined(ids []ring.ServerID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	return strings.Join(names, ", ")
}

// toGo is a time that is guessed: to the second.
func toGo(d time.Duration) string {
	if d < time.Second {
		return "under 1s"
	}
	return d.Round(time.Second).String()
}

// serverObject is a server in the output of query_servers --json.
type serverObject struct {
	ID           string `json:"id"`
	Address      string `json:"address"`
	State        string `json:"state"`
	Up           bool   `json:"up"`    // as the view leader remembers, where it was not
	Heard        bool   `json:"heard"` // of lately
	Zone         string `json:"zone"`
	Weight       uint32 `json:"weight"`
	Primary      int    `json:"primary"`
	Backup       int    `json:"backup"`
	Learner      int    `json:"learner"`
	Stray        uint32 `json:"stray"`
	Keys         uint64 `json:"keys"`
	Bytes        uint64 `json:"bytes"`
	Stored       uint64 `json:"stored_bytes"`
	Epoch        uint64 `json:"epoch"`
	HeartbeatMS  int64  `json:"heartbeat_ms"` // -1: never
	CopiedKeys   uint64 `json:"copied_keys"`
	Moved        uint64 `json:"moved_partitions"`
	Delta        uint64 `json:"delta_partitions"`
	DiskFree     uint64 `json:"disk_free"`
	Full         bool   `json:"disk_full"`
	Failures     int    `json:"failures"`             // lately
	HeldUntil    string `json:"held_until,omitempty"` // it fails again and again
	Clients      uint32 `json:"clients"`
	Refused      uint64 `json:"clients_refused"`
	Cut          uint64 `json:"clients_cut_off"`
	TooMuch      uint64 `json:"requests_refused"`
	Corrupt      uint64 `json:"corrupt"`
	Repaired     uint64 `json:"mended"`
	Unrepairable uint64 `json:"unmendable"`
	Logins       uint64 `json:"logins_refused"`
	CertExpires  string `json:"certificate_expires,omitempty"`
	Files        uint64 `json:"files"` // descriptors in use
	FilesMax     uint64 `json:"files_max"`

	Log    logObject    `json:"log"`
	Memory memoryObject `json:"memory"`
}

// logObject is how a server's log stands: bytes, and counts since its start.
type logObject struct {
	Keys            uint64 `json:"keys"` // in the index: of users and of the servers
	Segments        uint64 `json:"segments"`
	Disk            uint64 `json:"disk_bytes"`
	Live            uint64 `json:"live_bytes"`
	Garbage         uint64 `json:"garbage_bytes"`
	Tombstones      uint64 `json:"tombstone_bytes"`
	Written         uint64 `json:"written_bytes"`
	Copied          uint64 `json:"copied_bytes"`
	Freed           uint64 `json:"segments_freed"`
	Collecting      bool   `json:"collecting"`
	Checkpoints     uint64 `json:"checkpoints"`
	CheckpointBytes uint64 `json:"checkpoint_bytes"`
	Checkpointing   bool   `json:"checkpointing"`
	Damage          uint64 `json:"damage"`
}

// memoryObject is how a server's memory is shared out, in bytes.
type memoryObject struct {
	Budget      uint64 `json:"budget"`
	Index       uint64 `json:"index"`
	Items       uint64 `json:"items"`
	ItemsMax    uint64 `json:"items_max"`
	Requests    uint64 `json:"requests"`
	RequestsMax uint64 `json:"requests_max"`
}

func logOf(s *admin.ServerStats) logObject {
	return logObject{Keys: s.LogKeys, Segments: s.LogSegments, Disk: s.LogDisk, Live: s.LogLive, Garbage: s.LogGarbage(), Tombstones: s.LogTombstones,
		Written: s.LogWritten, Copied: s.LogCopied, Freed: s.LogFreed, Collecting: s.Collecting,
		Checkpoints: s.Checkpoints, CheckpointBytes: s.CheckpointBytes, Checkpointing: s.Checkpointing, Damage: s.LogDamage}
}

func memoryOf(s *admin.ServerStats) memoryObject {
	return memoryObject{Budget: s.Memory, Index: s.IndexBytes, Items: s.ItemBytes, ItemsMax: s.ItemBytesMax,
		Requests: s.RequestBytes, RequestsMax: s.RequestBytesMax}
}

func certificateTime(unix uint64) string {
	if unix == 0 {
		return ""
	}
	return time.Unix(int64(unix), 0).UTC().Format(time.RFC3339)
}

func statusObject(st *admin.Status) map[string]any {
	servers := []serverObject{}
	for i := range st.View.Members {
		m := &st.View.Members[i]
		h := st.Server(m.ID)
		age := int64(-1)
		if h.Heard {
			age = h.Age.Milliseconds()
		}
		primary, backup, learner := st.Roles(m.ID)
		held := ""
		if !h.Held.IsZero() {
			held = h.Held.UTC().Format(time.RFC3339Nano)
		}
		servers = append(servers, serverObject{
			ID: m.ID.String(), Address: m.Addr, State: m.State(), Up: m.Up, Heard: h.Lately(), Zone: m.Zone, Weight: m.Weight,
			Primary: primary, Backup: backup, Learner: learner, Stray: h.Stats.Strays,
			Keys: h.Stats.Keys, Bytes: h.Stats.Bytes, Stored: h.Stats.Stored(), Epoch: h.Epoch, HeartbeatMS: age,
			CopiedKeys: h.Stats.CopiedKeys, Moved: h.Stats.MovedPartitions, Delta: h.Stats.DeltaPartitions, DiskFree: h.Stats.DiskFree, Full: h.Stats.Full,
			Failures: h.Failures, HeldUntil: held,
			Clients: h.Stats.Clients, Refused: h.Stats.ClientsRefused, Cut: h.Stats.ClientsCut, TooMuch: h.Stats.RequestsRefused,
			Corrupt: h.Stats.Corrupt, Repaired: h.Stats.Repaired, Unrepairable: h.Stats.Unrepairable,
			Logins: h.Stats.LoginsRefused, CertExpires: certificateTime(h.Stats.CertExpires), Files: h.Stats.Files, FilesMax: h.Stats.FilesMax,
			Log: logOf(&h.Stats), Memory: memoryOf(&h.Stats),
		})
	}
	s := st.Safety()
	moving, done, doneBytes := movingObjects(st)
	text, level := verdict(st)
	return map[string]any{
		"version": jsonVersion, "cluster": hex.EncodeToString(st.View.Cluster[:]), "epoch": st.View.Epoch,
		"partitions": len(st.View.Partitions), "min_copies": st.View.MinCopies, "servers": servers, "problems": problemsOf(st, time.Now()),
		"safety": map[string]any{
			"safe": unsafe(&s) == "", "unheard": s.Unheard, "copies": s.Copies, "whole": s.Whole,
			"too_few": s.TooFew, "read_only": s.ReadOnly, "unavailable": s.Unavailable,
			"text": text, "level": level,
		},
		"rebalancing": map[string]any{
			"balanced": s.Balanced, "left": s.Left, "left_bytes": s.LeftBytes, "rate": s.Rate, "seconds": secondsLeft(s.TimeLeft),
			"done": done, "done_bytes": doneBytes, "servers": moving, "text": rebalancing(st),
		},
	}
}
