package redis

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSessionsSeeEachOther: CLIENT LIST is of those that are there, by id, as each last said,
// whoever else is saying something.
func TestSessionsSeeEachOther(t *testing.T) {
	f := &Front{Mode: ModeCluster, Now: func() time.Time { return time.Unix(1, 0) }, Auth: func(string, [][]byte) string { return "" }}
	words := func(s string) (args [][]byte) {
		for w := range strings.FieldsSeq(s) {
			args = append(args, []byte(w))
		}
		return args
	}
	say := func(s *Session, command string) string {
		cmd, args, errText := Resolve(words(command))
		if errText != "" {
			return errText
		}
		return string(cmd.Say(s, args).Bytes)
	}
	a, b, gone := f.Join("1.2.3.4:5", "me:1"), f.Join("1.2.3.4:6", "me:1"), f.Join("1.2.3.4:7", "me:1")
	var both sync.WaitGroup
	for s, name := range map[*Session]string{a: "a", b: "b"} {
		both.Go(func() {
			for range 100 {
				for _, command := range []string{"CLIENT SETNAME x", "CLIENT LIST", "HELLO 3", "CLIENT SETINFO lib-name l", "RESET", "CLIENT LIST ID 1", "HELLO 2 SETNAME " + name} {
					if cmd, _, _ := Resolve(words(command)); cmd.Talks() {
						say(s, command)
					} else {
						s.Reset()
					}
				}
			}
		})
	}
	both.Wait()
	gone.Leave()
	const rest = " age=0 flags=N db=0 sub=0 psub=0 ssub=0 user=default resp=2 lib-name=l lib-ver=\n"
	want := "id=1 addr=1.2.3.4:5 laddr=me:1 name=a" + rest + "id=2 addr=1.2.3.4:6 laddr=me:1 name=b" + rest
	if got := say(a, "CLIENT LIST"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := say(b, "CLIENT LIST ID 2"); "id=1 addr=1.2.3.4:5 laddr=me:1 name=a"+rest+got != want {
		t.Errorf("%q", got)
	}
}
