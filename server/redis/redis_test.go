package redis

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"viewring/internal/wire"
)

// TestTable: every row makes sense by itself and is found under its name.
func TestTable(t *testing.T) {
	seen := make(map[string]bool)
	var check func(c *Command)
	check = func(c *Command) {
		if seen[c.Name] || Lookup(strings.ToUpper(c.Name)) != c || c.Summary == "" || c.Since == "" || c.Group == "" || c.Arity == 0 {
			t.Errorf("%+v", c)
		}
		seen[c.Name] = true
		if c.Evaluates() && c.Keys.Step == 0 {
			t.Errorf("%s is about keys and names none", c.Name)
		}
		if c.HasFlag("write") && c.HasFlag("readonly") {
			t.Errorf("%s writes and does not", c.Name)
		}
		for _, text := range wrongs(c) {
			t.Errorf("%s %s", c.Name, text)
		}
		for _, sub := range c.Subs {
			_, name, _ := strings.Cut(sub.Name, "|")
			if c.Sub([]byte(name)) != sub {
				t.Errorf("%s is not found", sub.Name)
			}
			check(sub)
		}
	}
	for _, c := range Table {
		check(c)
	}
	if len(seen) != len(rows) {
		t.Errorf("%d of %d rows", len(seen), len(rows))
	}
}

// wrongs says what in a row contradicts the rest of it.
func wrongs(c *Command) (found []string) {
	part, way := Lookup(c.Gateway.Part), c.Gateway.Way
	keyed, isHosted := c.Keys.Step > 0, !c.Evaluates() && !c.Talks()
	for text, wrong := range map[string]bool{
		"does not say what a gateway does":                      way == 0,
		"is split into what is not there, or takes other words": (way == ToParts) != (part != nil) || part != nil && !part.Takes(1+c.Keys.Step),
		"does not say how its parts are joined, or has none":    (way == ToParts || way == ToAll) != (c.Gateway.Join != 0),
		"goes to the servers of its keys, and has none":         (way == ToKeys || way == ToParts) && !c.Evaluates(),
		"is about keys, and does not go to their servers":       c.Evaluates() && way != ToKeys && way != ToParts,
		"is about no key, and has some":                         c.Talks() && keyed,
		"is all servers', and not in their hands":               way == ToAll && !isHosted,
		"reads, and may write":                                  c.Reads() && !c.HasFlag("readonly"),
		"writes, and may not":                                   c.Writes() && !c.HasFlag("write"),
		"is evaluated, and neither reads nor writes":            c.Evaluates() && !c.HasFlag("readonly") && !c.HasFlag("write"),
		"has an id, and is no single mutation":                  c.Once && !c.Writes(),
		"is carried out after MULTI, and not in their hands":    c.Multi == AtOnce && !isHosted,
		"is the gateway's and the server's, and not queued":     way == HereNow && c.Multi != Queued,
		"does another thing at a gateway than its subcommands":  slices.ContainsFunc(c.Subs, func(sub *Command) bool { return sub.Gateway != c.Gateway }),
	} {
		if wrong {
			found = append(found, text)
		}
	}
	return found
}

// TestResolveAllocates: each command of a connection goes through Resolve, and most through
// Read or Write.
func TestResolveAllocates(t *testing.T) {
	now := func() int64 { return 1 }
	for _, words := range [][][]byte{{[]byte("GET"), []byte("k")}, {[]byte("set"), []byte("k"), []byte("v")}, {[]byte("Incr"), []byte("k")}, {[]byte("ttl"), []byte("k")}} {
		if n := testing.AllocsPerRun(100, func() {
			cmd, args, errText := Resolve(words)
			switch {
			case errText != "" || !cmd.Single(args):
				t.Fatal(errText)
			case cmd.Reads():
				_, errText = cmd.Read(args)
			default:
				_, errText = cmd.Write(args, now)
			}
			if errText != "" {
				t.Fatal(errText)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", words[0], n)
		}
	}
}

// TestRepeatable: what may be sent again under a request id is one mutation of one key
// whose answer is all of the reply.
func TestRepeatable(t *testing.T) {
	for command, want := range map[string]bool{
		"set k v": true, "set k v nx ex 5": true, "set k v get": false, "set k v px 5 GET": false, "del k": true, "del k l": false, "unlink k": true, "unlink k l": false,
		"setnx k v": true, "setex k 5 v": true, "psetex k 5 v": true, "append k v": true, "incr k": true, "decr k": true, "incrby k 5": true, "decrby k 5": true, "persist k": true,
		"get k": false, "getset k v": false, "getdel k": false, "expire k 5": false, "mset k v": false, "msetnx k v": false, "incrbyfloat k 5": false, "setrange k 0 v": false, "rename k l": false, "exists k": false,
		"ping": false, "flushall": false, "exec": false,
	} {
		words := strings.Split(command, " ")
		args := make([][]byte, len(words)-1)
		for i, w := range words[1:] {
			args[i] = []byte(w)
		}
		if got := Lookup(words[0]).Repeatable(args); got != want {
			t.Errorf("%s: %v", command, got)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"**", "abc", true}, {"a*", "abc", true}, {"*c", "abc", true},
		{"*b*", "abc", true}, {"*d*", "abc", false}, {"a*b*c", "axxbyyc", true}, {"a*b*c", "axxbyy", false}, {"?", "", false}, {"?", "a", true}, {"??", "a", false},
		{"a?c", "abc", true}, {"[abc]", "b", true}, {"[abc]", "d", false}, {"[a-c]x", "bx", true}, {"[c-a]x", "bx", true}, {"[^a-c]", "d", true}, {"[^a-c]", "b", false},
		{"[a-", "a", true}, {"[a", "a", true}, {"[a", "b", false}, {"[", "a", false}, {"[]", "a", false}, {"[^]", "a", true}, {"[\\]]", "]", true}, {"[a\\-z]", "-", true}, {"[a\\-z]", "b", false},
		{"\\*", "*", true}, {"\\*", "a", false}, {"a\\", "a\\", true}, {"\\a", "a", true}, {"h[ae]llo*", "hallo world", true}, {"h[ae]llo*", "hxllo", false},
		{"*[0-9]", "key7", true}, {"*[0-9]", "key", false}, {"x*", "abc", false}, {"\x80*", "\x80a", true}, {"[\x80-\xff]", "\x90", true}, {"[a-\xff]", "\x90", false}, {"*a*a*a*b", strings.Repeat("a", 200), false},
	} {
		if got := Match(c.pattern, c.name); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.name, got)
		}
	}
	// What would take an age, or all of the stack, if every * were tried again.
	if Match(strings.Repeat("*a", 20_000)+"b", strings.Repeat("a", 100_000)) {
		t.Error("no b, and it matches")
	}
}

// FuzzMatch compares with Go's regular expressions, where these have the same words.
func FuzzMatch(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*ab*", "aab")
	f.Add("[a-", "a")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := Match(pattern, name)
		if strings.ContainsAny(pattern, "[]\\") {
			return
		}
		var b strings.Builder
		b.WriteString("(?s)^")
		for _, c := range []byte(pattern) {
			switch c {
			case '*':
				b.WriteString(".*")
			case '?':
				b.WriteString(".")
			default:
				b.WriteString(regexp.QuoteMeta(string(rune(c))))
			}
		}
		var latin strings.Builder // a rune for each byte
		for _, c := range []byte(name) {
			latin.WriteRune(rune(c))
		}
		re, err := regexp.Compile(b.String() + "$")
		if err != nil {
			return
		}
		if want := re.MatchString(latin.String()); got != want {
			t.Errorf("%q on %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// TestFloats has sums as Redis 7 on x86-64 gives them.
func TestFloats(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"0.1", "0.2", "0.3"}, {"10.5", "0.1", "10.6"}, {"5.0e3", "200", "5200"}, {"3.0", "0", "3"}, {"-1", "1", "0"}, {"0", "-1e-20", "0"},
		{"1e17", "0.01", "100000000000000000.0078125"}, {"18446744073709551615", "1", "18446744073709551616"}, {"0x10", "0x1p3", "24"}, {"1", "1e-17", "1.00000000000000001"},
		{"inf", "1", ""}, {"1e4932", "1e4932", ""}, {"1e5000", "0", "bad"}, {"1e-5000", "0", "bad"}, {"nan", "0", "bad"}, {"", "0", "bad"}, {" 1", "0", "bad"},
		{"1_0", "0", "bad"}, {"0b1", "0", "bad"}, {"+-1", "0", "bad"}, {"0e99999999999999", "5", "5"}, {strings.Repeat("1", longDoubleTextMax), "0", "bad"},
	} {
		a, ok := parseLongDouble([]byte(c.a))
		b, _ := parseLongDouble([]byte(c.b))
		if !ok {
			if c.want != "bad" {
				t.Errorf("%q is no number", c.a)
			}
			continue
		}
		got := ""
		if sum, ok := a.plus(b); ok {
			got = sum.String()
		}
		if got != c.want {
			t.Errorf("%s + %s = %s, want %s", c.a, c.b, got, c.want)
		}
	}
}

// TestChanges: what is written of what commands did, and only that.
func TestChanges(t *testing.T) {
	const now = 1_000_000
	for _, c := range []struct{ commands, want string }{
		{"get a", ""}, {"del none", ""}, {"del a", "a deleted"}, {"set a 1", "a=1"}, {"set none 1|del none", ""}, {"getdel t", "t deleted"},
		{"append t x", "t=tx until 2000000"}, {"incr n", "n=8"}, {"set t x keepttl", "t=x until 2000000"}, {"set t x", "t=x"}, {"persist t", "t=t"}, {"persist a", ""},
		{"set a 1 px 500", "a=1 for 500"}, {"set a 1 pxat 3000000", "a=1 until 3000000"}, {"pexpire a 700", "a=a for 700"}, {"pexpireat a 3000000", "a=a until 3000000"},
		{"pexpire a 700|append a x", "a=ax for 700"}, {"pexpire a 700|persist a", "a=a"}, {"expire a -1", "a deleted"}, {"rename t none", "t deleted, none=t until 2000000"},
		{"pexpire a 700|rename a b", "a deleted, b=a for 700"}, {"rename a a", ""}, {"set a 1 pxat 5|get a", "a deleted"}, {"setrange a 2 z", "a=a\x00z"}, {"setrange a 0 ", ""},
		{"setbit a 6 1", "a=c"}, {"setbit a 7 1", ""}, {"setbit t 15 0", "t=t\x00 until 2000000"}, {"setbit none 1 1", "none=@"}, {"getbit none 1", ""},
		{"mset a 1 b 2", "a=1, b=2"}, {"msetnx none 1 a 2", ""}, {"getex t persist", "t=t"}, {"getex t", ""}, {"expire t 5 gt", ""}, {"set a 1 nx", ""}, {"incrbyfloat n 0.5", "n=7.5"},
	} {
		tx := NewTx(now, 1000)
		tx.Load("a", []byte("a"), 0)
		tx.Load("b", []byte("b"), 0)
		tx.Load("n", []byte("7"), 0)
		tx.Load("t", []byte("t"), 2_000_000)
		for _, command := range strings.Split(c.commands, "|") {
			words := strings.Split(command, " ")
			args := make([][]byte, len(words)-1)
			for i, w := range words[1:] {
				args[i] = []byte(w)
			}
			if v := Lookup(words[0]).Run(tx, args); v.Kind == wire.KindError {
				t.Errorf("%s: %s", command, v.Bytes)
			}
		}
		var got []string
		for _, ch := range tx.Changes() {
			switch text := ch.Name + "=" + string(ch.Value); {
			case ch.Delete:
				got = append(got, ch.Name+" deleted")
			case ch.TTL != 0:
				got = append(got, fmt.Sprintf("%s for %d", text, ch.TTL))
			case ch.Expiry != 0:
				got = append(got, fmt.Sprintf("%s until %d", text, ch.Expiry))
			default:
				got = append(got, text)
			}
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s: %q, want %q", c.commands, text, c.want)
		}
	}
}

// TestValuesTooLong: no command makes a value beyond the limit.
func TestValuesTooLong(t *testing.T) {
	tx := NewTx(1, 10)
	tx.Load("k", []byte("12345678"), 0)
	for _, c := range [][]string{{"append", "k", "xyz"}, {"setrange", "k", "8", "xyz"}, {"setrange", "k", "9223372036854775807", "x"}, {"setrange", "k", "11", "x"}} {
		args := [][]byte{[]byte(c[1]), []byte(c[2])}
		for _, more := range c[3:] {
			args = append(args, []byte(more))
		}
		if v := Lookup(c[0]).Run(tx, args); string(v.Bytes) != errTooLong {
			t.Errorf("%q: %q", c, v.Bytes)
		}
	}
	if len(tx.Changes()) > 0 {
		t.Errorf("%+v", tx.Changes())
	}
}

// FuzzCommands runs any commands on some keys: none may panic, change what was loaded,
// or leave a change that the core would refuse.
func FuzzCommands(f *testing.F) {
	f.Add("set a 1 ex 5|getrange a 0 -1|setrange a 3 x|rename a b|incrbyfloat b 1e300")
	f.Add("mset a 1 b 2 a 3|expire a 9223372036854775807|pexpireat b -9223372036854775808 lt")
	f.Add("setbit a 9 1|getbit a 9|setbit n 70 0|setbit a 99999999999 1|getbit t 0")
	f.Add("getex t exat 1|set t v get keepttl|incr n|decrby n -9223372036854775808")
	f.Fuzz(func(t *testing.T, script string) {
		if len(script) > 1000 {
			return
		}
		loaded := map[string]string{"a": "abc", "n": "7", "t": "timed"}
		tx := NewTx(1_700_000_000_000, 4096)
		values := make(map[string][]byte)
		for name, v := range loaded {
			values[name] = []byte(v)
			expiry := int64(0)
			if name == "t" {
				expiry = 1_800_000_000_000
			}
			tx.Load(name, values[name], expiry)
		}
		for _, command := range strings.Split(script, "|") {
			words := strings.Split(command, " ")
			c := Lookup(words[0])
			if c == nil || !c.Evaluates() || !c.Takes(len(words)) {
				continue
			}
			args := make([][]byte, len(words)-1)
			for i, w := range words[1:] {
				args[i] = []byte(w)
			}
			c.KeysOf(args)
			c.Run(tx, args)
		}
		for name, v := range loaded {
			if string(values[name]) != v {
				t.Errorf("%s was changed in place", name)
			}
		}
		seen := make(map[string]bool)
		for _, ch := range tx.Changes() {
			if seen[ch.Name] || len(ch.Value) > max(8192, len(script)) || ch.TTL < 0 || ch.TTL > 0 && ch.Expiry != 0 {
				t.Errorf("%+v", ch)
			}
			seen[ch.Name] = true
		}
	})
}

// TestReadmeListsCommands: the page's table is this one.
func TestReadmeListsCommands(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(readme), "\n## Commands\n")
	section, _, ok2 := strings.Cut(section, "\nEverything else")
	if !ok || !ok2 {
		t.Fatal("no table of commands")
	}
	listed := make(map[string]bool)
	for _, word := range strings.FieldsFunc(section, func(r rune) bool { return !('A' <= r && r <= 'Z' || r == '-') }) {
		listed[word] = true
	}
	for _, r := range rows {
		_, name, _ := strings.Cut("|"+strings.ToUpper(r.name), "|")
		if container, sub, ok := strings.Cut(name, "|"); ok {
			name = sub
			if !listed[container] {
				t.Errorf("README does not list %s", container)
			}
		}
		if !listed[name] {
			t.Errorf("README does not list %s", name)
		}
	}
}

// TestMadeTogether: short commands that make long values of many keys take no more memory
// than their share.
func TestMadeTogether(t *testing.T) {
	for _, command := range []string{"setbit k%d 7999 1", "setrange k%d 999 x"} {
		tx := NewTx(1, 1000)
		refused, made := 0, 0
		for i := range 50 {
			words := fields(fmt.Sprintf(command, i%20))
			cmd, args, errText := Resolve(words)
			if errText != "" {
				t.Fatal(errText)
			}
			if v := cmd.Run(tx, args); v.Err() != nil {
				refused++
			}
		}
		for _, c := range tx.Changes() {
			made += len(c.Value)
		}
		if refused == 0 || made > madeShare*1000 {
			t.Errorf("%s: %d bytes of values were made, %d commands were refused", command, made, refused)
		}
	}
}

func fields(text string) (words [][]byte) {
	for _, w := range strings.Fields(text) {
		words = append(words, []byte(w))
	}
	return words
}
