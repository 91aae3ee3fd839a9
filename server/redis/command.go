package redis

import (
	"slices"
	"strings"

	"viewring/internal/wire"
)

// Command is a row of the table. Immutable.
type Command struct {
	Name       string // in small letters; of a subcommand, container|name
	Arity      int    // words, the name included; negative: at least that many
	Flags      []string
	Categories []string // of access control, without the @
	Tips       []string // for clients and proxies
	Keys       Keys
	Group      string
	Since      string // version of Redis
	Summary    string
	Subs       []*Command // of a container
	Index      int        // below Count: no two have the same

	Once    bool    // it is one mutation, whose recorded answer is all of its reply: see Repeatable
	Multi   Multi   // what becomes of it after MULTI
	Gateway Gateway // what a gateway does with it

	means means
}

// Multi is what becomes of a command between MULTI and EXEC.
type Multi uint8

const (
	Queued  Multi = iota // until EXEC
	AtOnce               // it is carried out when it comes
	Refused              // and EXEC with it
)

// means is what a command does: one key's Read or Write, which may stand beside an
// Evaluator for several keys; an Evaluator alone; a Talk; or nothing, where it takes more
// than keys and a session, so that server and gateway have a function of their own.
type means struct {
	read  Reader
	write Writer
	eval  Evaluator
	blind bool // eval looks at no key
	talk  Talk

	listens bool // see Command.Listens
}

func read(r Reader) means                { return means{read: r, eval: r.eval} }
func write(w Writer) means               { return means{write: w, eval: w.eval} }
func reads(r Reader, e Evaluator) means  { return means{read: r, eval: e} }
func writes(w Writer, e Evaluator) means { return means{write: w, eval: e} }
func eval(e Evaluator) means             { return means{eval: e} }
func blind(e Evaluator) means            { return means{eval: e, blind: true} }
func talk(t Talk) means                  { return means{talk: t} }

// listens is for those that a client may ask for that is Restricted.
func listens(m means) means {
	m.listens = true
	return m
}

var hosted means

// Gateway is what a gateway does with a command.
type Gateway struct {
	Way  Way
	Part string // ToParts: the command that each part is, of Step words
	Join Join   // of the parts' replies
}

// Way is where a gateway has a command carried out.
type Way uint8

const (
	ToKeys  Way = iota + 1 // at the server of its keys, which must be in one slot
	ToParts                // likewise; key by key where they are in several slots
	ToAll                  // at all servers, each of its part of the keys
	ToAny                  // at any server
	Here                   // at the gateway
	HereNow                // at the gateway, but after MULTI at the server
	Nowhere                // it is about a cluster, which a gateway shows as one server
)

// Join is how the replies to a command's parts become one.
type Join uint8

const (
	JoinArray Join = iota + 1
	JoinSum
	JoinOK
)

var (
	toKeys  = Gateway{Way: ToKeys}
	toAny   = Gateway{Way: ToAny}
	here    = Gateway{Way: Here}
	hereNow = Gateway{Way: HereNow}
	nowhere = Gateway{Way: Nowhere}
)

func toParts(part string, j Join) Gateway { return Gateway{ToParts, part, j} }
func toAll(j Join) Gateway                { return Gateway{Way: ToAll, Join: j} }

// Evaluator is what a command does to keys. args are without the command's name,
// their number has been judged.
type Evaluator func(tx *Tx, cmd *Command, args [][]byte) wire.Value

// Keys says which arguments are keys: from First to Last in steps of Step, counted
// with the command's name; a Last of −1 is the last argument. A Step of 0: none.
type Keys struct {
	First, Last, Step int
	specs             []keySpec
}

// keySpec is a run of keys with what the command does to them, in Redis's words.
type keySpec struct {
	index, last, step int
	flags, note       string
}

var noKeys Keys

func oneKey(flags string) Keys   { return Keys{1, 1, 1, []keySpec{{1, 0, 1, flags, ""}}} }
func allKeys(flags string) Keys  { return Keys{1, -1, 1, []keySpec{{1, -1, 1, flags, ""}}} }
func keyPairs(flags string) Keys { return Keys{1, -1, 2, []keySpec{{1, -1, 2, flags, ""}}} }

func twoKeys(first, second string) Keys {
	return Keys{1, 2, 1, []keySpec{{1, 0, 1, first, ""}, {2, 0, 1, second, ""}}}
}

func (k Keys) noted(note string) Keys {
	k.specs[0].note = note
	return k
}

// categoryOrder is the order in which Redis lists them.
var categoryOrder = []string{"keyspace", "read", "write", "string", "bitmap", "admin", "pubsub", "fast", "slow", "dangerous", "connection", "transaction"}

// commands by their names in small letters, subcommands included.
var commands = make(map[string]*Command)

func init() {
	for i, r := range rows {
		c := &Command{Index: i, Name: r.name, Arity: r.arity, Flags: strings.Fields(r.flags), Tips: strings.Fields(r.tips),
			Keys: r.keys, Group: r.group, Since: r.since, Summary: r.summary, Once: r.once, Multi: r.multi, Gateway: r.gateway, means: r.means}
		c.Categories = categories(c.Flags, strings.Fields(r.categories))
		commands[c.Name] = c
		if container, _, ok := strings.Cut(c.Name, "|"); ok {
			commands[container].Subs = append(commands[container].Subs, c)
		} else {
			Table = append(Table, c)
		}
	}
}

// categories adds what follows from the flags.
func categories(flags, more []string) []string {
	speed := "slow"
	for _, f := range flags {
		switch f {
		case "write":
			more = append(more, "write")
		case "readonly":
			more = append(more, "read")
		case "admin":
			more = append(more, "admin", "dangerous")
		case "fast":
			speed = "fast"
		}
	}
	more = append(more, speed)
	slices.SortFunc(more, func(a, b string) int { return slices.Index(categoryOrder, a) - slices.Index(categoryOrder, b) })
	return slices.Compact(more)
}

// Count is how many commands there are, subcommands included.
func Count() int { return len(rows) }

// Lookup returns a command by its name in any case, a subcommand by container|name;
// nil when there is none.
func Lookup(name string) *Command { return commands[strings.ToLower(name)] }

// Sub returns a container's subcommand; nil when there is none.
func (c *Command) Sub(name []byte) *Command { return Lookup(c.Name + "|" + string(name)) }

// Resolve finds the command that words are, and its arguments; of a container, its
// subcommand. errText is "" or the error reply where there is none, or not with so many
// words. It allocates nothing where all is well.
func Resolve(words [][]byte) (cmd *Command, args [][]byte, errText string) {
	var lower [nameBytesMax]byte
	if name := words[0]; len(name) <= len(lower) {
		n := copy(lower[:], name)
		for i, b := range lower[:n] {
			if 'A' <= b && b <= 'Z' {
				lower[i] = b + ('a' - 'A')
			}
		}
		if !slices.Contains(lower[:n], '|') {
			cmd = commands[string(lower[:n])]
		}
	}
	if cmd == nil {
		return nil, nil, UnknownError(words)
	}
	takes := cmd.Takes(len(words))
	args = words[1:]
	if len(cmd.Subs) > 0 && len(args) > 0 {
		container := cmd
		if cmd = container.Sub(args[0]); cmd == nil {
			return nil, nil, UnknownSubError(container, args[0])
		}
		takes = cmd.Takes(len(words))
		args = args[1:]
	}
	if !takes {
		return cmd, nil, ArityError(cmd)
	}
	return cmd, args, ""
}

// nameBytesMax is no shorter than any command's name.
const nameBytesMax = 32

// Takes reports whether a command may have that many words, its name included.
func (c *Command) Takes(words int) bool {
	return words == c.Arity || c.Arity < 0 && words >= -c.Arity
}

// Evaluates reports whether Run may be called.
func (c *Command) Evaluates() bool { return c.means.eval != nil }

// HasFlag reports whether a command has a flag.
func (c *Command) HasFlag(flag string) bool { return slices.Contains(c.Flags, flag) }

// Reads, Writes and Blind report whether Read, Write, or Run on a Tx without keys, may be
// called.
func (c *Command) Reads() bool  { return c.means.read != nil }
func (c *Command) Writes() bool { return c.means.write != nil }
func (c *Command) Blind() bool  { return c.means.blind }

// Single reports whether args name one key.
func (c *Command) Single(args [][]byte) bool {
	return c.Keys.Step > 0 && (c.Keys.Last == c.Keys.First || c.Keys.Last < 0 && len(args) <= c.Keys.Step)
}

// Read says what a command that Reads, of a Single key, wants of it. args are without the
// name; errText is "" or the error reply.
func (c *Command) Read(args [][]byte) (r Read, errText string) { return c.means.read(args) }

// Write likewise says what a command that Writes does to its key; now is in unix
// milliseconds.
func (c *Command) Write(args [][]byte, now func() int64) (w Write, errText string) {
	return c.means.write(c, args, now)
}

// Repeatable reports whether a command may be given a request id, and so be sent again when
// its answer is lost.
func (c *Command) Repeatable(args [][]byte) bool {
	if !c.Once || !c.Single(args) {
		return false
	}
	w, errText := c.Write(args, func() int64 { return 0 })
	return errText != "" || w.Blind()
}

// Run carries out a command that Evaluates on tx. args are without the name.
func (c *Command) Run(tx *Tx, args [][]byte) wire.Value { return c.means.eval(tx, c, args) }

// Talks reports whether Say may be called.
func (c *Command) Talks() bool { return c.means.talk != nil }

// Say carries out a command that Talks. args are without the name.
func (c *Command) Say(s *Session, args [][]byte) wire.Value { return c.means.talk(s, args) }

// KeysOf returns the keys among a command's arguments, which are without its name.
func (c *Command) KeysOf(args [][]byte) (keys [][]byte) {
	last := c.Keys.Last
	if last < 0 {
		last += len(args) + 1
	}
	if c.Keys.Step > 0 {
		for i := c.Keys.First; i <= last && i <= len(args); i += c.Keys.Step {
			keys = append(keys, args[i-1])
		}
	}
	return keys
}

// words makes a set of simple strings.
func words(prefix string, list []string) wire.Value {
	v := set()
	for _, w := range list {
		v.Array = append(v.Array, Simple(prefix+w))
	}
	return v
}

// Describe is a command's entry in the reply to COMMAND.
func (c *Command) Describe() wire.Value {
	specs, subs, tips := set(), set(), set()
	for _, s := range c.Keys.specs {
		specs.Array = append(specs.Array, s.describe())
	}
	for _, sub := range c.Subs {
		subs.Array = append(subs.Array, sub.Describe())
	}
	for _, t := range c.Tips {
		tips.Array = append(tips.Array, Text(t))
	}
	return Array(Text(c.Name), Number(int64(c.Arity)), words("", c.Flags),
		Number(int64(c.Keys.First)), Number(int64(c.Keys.Last)), Number(int64(c.Keys.Step)),
		words("@", c.Categories), tips, specs, subs)
}

func (s keySpec) describe() wire.Value {
	v := wire.Value{Kind: wire.KindMap}
	if s.note != "" {
		v.Array = append(v.Array, Text("notes"), Text(s.note))
	}
	v.Array = append(v.Array, Text("flags"), words("", strings.Fields(s.flags)),
		Text("begin_search"), Map(Text("type"), Text("index"), Text("spec"), Map(Text("index"), Number(int64(s.index)))),
		Text("find_keys"), Map(Text("type"), Text("range"), Text("spec"),
			Map(Text("lastkey"), Number(int64(s.last)), Text("keystep"), Number(int64(s.step)), Text("limit"), Number(0))))
	return v
}

// Document is a command's entry in the reply to COMMAND DOCS, without its name.
func (c *Command) Document() wire.Value {
	v := Map(Text("summary"), Text(c.Summary), Text("since"), Text(c.Since), Text("group"), Text(c.Group))
	if len(c.Subs) > 0 {
		subs := Map()
		for _, sub := range c.Subs {
			subs.Array = append(subs.Array, Text(sub.Name), sub.Document())
		}
		v.Array = append(v.Array, Text("subcommands"), subs)
	}
	return v
}
