package play

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rsc.io/script"
)

// verb is a command of scripts: what plays it, what checks it, and what help and pages say of it.
type verb struct {
	name, args string
	summary    string
	detail     string   // more, for who asks for this verb; may be empty
	example    string   // lines of a script
	sets       []string // the variables that it sets
	private    string   // why it is refused on a cluster that runs already; "": it is not
	long       bool     // it may take longer than patience
	check      func(c *checker, args []string) error
	do         func(p *Player, ctx context.Context, args []string) (string, error)
}

// Why verbs are refused on a cluster that runs already.
const (
	isProcess = "it starts and ends processes, and those of a running cluster are not this command's"
	isProxy   = "its servers reach each other past this command, which can cut and slow its own cluster alone"
	isSeen    = "it goes by the processes that this command starts"
)

// group is some verbs, under a heading.
type group struct {
	title string
	verbs []verb
}

// vocabulary is all verbs of this package. It is what check, play, help and pages go by.
func vocabulary() []group {
	return []group{
		{"The language", languageVerbs()},
		{"The cluster", clusterVerbs()},
		{"The network between its processes", networkVerbs()},
		{"Load and checks", loadVerbs()},
		{"Results", append(resultVerbs(), givenVerbs()...)},
	}
}

func languageVerbs() []verb {
	return []verb{
		{
			name: "for", args: "NAME in VALUE…", summary: "repeat what follows, up to a line 'end', for each value: words, lists of words, and A..B",
			detail:  "A value may be a list, words with spaces between; a range counts down as well. Loops may stand in loops. When a line fails, the values of the loops around it are told.",
			example: "let servers 3 4\nfor n in $servers\n  cluster servers $n\n  fill 100\n  expect copies 3\n  destroy forget\nend",
			check:   func(c *checker, args []string) error { return c.runner.forVerb(args) },
			do:      func(p *Player, _ context.Context, args []string) (string, error) { return "", p.runner.forVerb(args) },
		},
		{
			name: "end", summary: "end a loop", example: "for i in 1..3\n  echo round $i\nend",
			check: func(*checker, []string) error { return errAlone },
			do:    func(*Player, context.Context, []string) (string, error) { return "", errAlone },
		},
		{
			name: "let", args: "NAME VALUE… | NAME A +|-|*|/|% B | NAME sh COMMAND…", summary: "set a variable: to words, to what two numbers come to, to what a command prints",
			detail:  "$NAME and ${NAME} stand for it in any word but those in single quotes. A whole number stays one while it can. --set NAME=VALUE sets a variable from the command line, and $1, $2 … are what stands behind the script there.",
			example: "let n 3\nlet n $n + 1\nlet lines sh 'wc -l < /etc/hosts'\necho $n $lines",
			long:    true, check: (*checker).let, do: (*Player).let,
		},
		{
			name: "sh", args: "COMMAND…", summary: "run an external command, which must end with 0: one word is a line for the shell, more are a program and its arguments",
			detail:  "It runs in the folder in which viewring runs, and finds viewring, the cluster and the variables of the script in its environment. It ends with the script, with all that it started.",
			example: "cluster servers 1\nsetr colour blue\nsh 'viewring getr colour | tr a-z A-Z'\nstdout BLUE",
			long:    true, check: (*checker).sh, do: (*Player).sh,
		},
		{
			name: "exits", args: "CODE COMMAND…", summary: "the command ends with this exit code; of 2 its arguments are not checked before",
			example: "cluster servers 1\nexits 1 getr nothing", check: (*checker).exits, do: (*Player).exits,
		},
	}
}

func clusterVerbs() []verb {
	return []verb{
		{
			name: "cluster", args: "servers N [VIEWLEADER-FLAG…]", summary: "start a private cluster",
			example: "cluster servers 3 --out-after 2s", private: isProcess, check: (*checker).cluster, do: (*Player).clusterVerb,
		},
		{
			name: "destroy", args: "[forget]", summary: "SIGKILL everything and delete its data; 'cluster' starts another. With forget nothing more is expected of what it acknowledged",
			example: "cluster servers 1\nfill 10\ndestroy forget\ncluster servers 1\nfill 10\nexpect lost 0",
			private: isProcess, check: (*checker).destroy, do: (*Player).destroyVerb,
		},
		{
			name: "join", args: "[N]", summary: "start one more server, or N",
			example: "cluster servers 3\njoin\nwait balanced", private: isProcess, check: (*checker).join, do: (*Player).join,
		},
		{
			name: "leave", args: "SERVER", summary: "the server leaves, its process ends",
			example: "cluster servers 4\nleave s2\nwait balanced", check: (*checker).server, do: (*Player).leaveVerb,
		},
		{
			name: "kill", args: "SERVER…|leader|all", summary: "end by SIGKILL",
			example: "cluster servers 3\nkill s1\nwait s1 down", private: isProcess, check: (*checker).processes,
			do: on((*Cluster).kill, true),
		},
		{
			name: "terminate", args: "SERVER", summary: "end by SIGTERM, and wait for its end",
			example: "cluster servers 3\nterminate s1\nrestart s1", private: isProcess, check: (*checker).server, do: (*Player).terminateVerb,
		},
		{
			name: "restart", args: "SERVER…|leader|all", summary: "end it if it runs, start it on its data",
			example: "cluster servers 3\nkill all\nrestart all\nwait balanced", private: isProcess, check: (*checker).processes,
			do: on((*Cluster).Restart, true),
		},
		{
			name: "pause", args: "SERVER…|leader|all", summary: "stop by SIGSTOP",
			example: "cluster servers 3\npause s1\nwait s1 down\nresume s1\nwait s1 up", private: isProcess, check: (*checker).processes,
			do: on((*Cluster).pause, true),
		},
		{
			name: "resume", args: "SERVER…|leader|all", summary: "let go on by SIGCONT",
			example: "cluster servers 3\npause s1 s2\nresume s1 s2", private: isProcess, check: (*checker).processes,
			do: on((*Cluster).resume, false),
		},
		{
			name: "wait", args: "[balanced | agreed | epoch N | SERVER STATE]", summary: "wait until each partition is on exactly its targets, and with agreed every store agrees at that moment; for a view; for a server to be up, down, out or gone; without arguments for background commands",
			detail:  "The states are " + strings.Join(states, ", ") + ". How long it took to be balanced since the first change is in $balanced.seconds then.",
			example: "cluster servers 4 --out-after 1s\nkill s4\nwait s4 out\nwait balanced", check: (*checker).wait, do: (*Player).waitVerb,
		},
	}
}

func loadVerbs() []verb {
	return []verb{
		{
			name: "fill", args: "N", summary: "write N keys",
			example: "cluster servers 3\nfill 1000\nexpect lost 0", check: (*checker).fill, do: (*Player).fillVerb,
		},
		{
			name: "workload", args: "start [PER-SECOND] | N | stop", summary: "write, append and read in the background; wait until N requests are made",
			example: "cluster servers 3\nworkload start 500\nworkload 100\nworkload stop\nexpect failed 0", check: (*checker).workloadVerb, do: (*Player).workloadVerb,
		},
		{
			name: "traffic", args: "start [PER-SECOND] [plain] | round | stop", summary: "write at an even pace, with plain half of it as plain Redis clients, and note each request's time; tell of the last round; stop and read all back",
			example: "cluster servers 3\ntraffic start 1000\nsleep 200ms\ntraffic round\ntraffic stop\nexpect stall 5000", check: (*checker).trafficVerb, do: (*Player).trafficVerb,
		},
		{
			name: "outage", args: "SERVER", summary: "SIGKILL, and measure until all keys of the traffic can be written again",
			example: "cluster servers 4\ntraffic start 500\noutage s2\necho $outage.down $outage.first $outage.all\ntraffic stop",
			detail:  "Times are milliseconds since the kill: down in the view, the first of its keys written again, all of them. $outage.keys is how many it had.",
			sets:    []string{"outage.keys", "outage.down", "outage.first", "outage.all"},
			private: isProcess, check: (*checker).outage, do: (*Player).outageVerb,
		},
		{
			name: "load", args: "COUNT [SIZE] | start DIR | PERCENT% | finish", summary: "write COUNT keys more, with values of SIZE (1KiB); or load a folder in the background, reading back at random, wait until so much is loaded, or all",
			example: "cluster servers 3\nload 2000 4KiB\nexpect lost 0\nsh 'mkdir $CLUSTER/files; echo hello > $CLUSTER/files/a'\nload start $CLUSTER/files\nload 50%\nload finish", long: true,
			check: (*checker).loadVerb, do: (*Player).loadVerb,
		},
		{
			name: "measure", args: "SPAN [as NAME]", summary: "measure the traffic and the workload that go on, for so long",
			detail:  "It sets $NAME.ops (answered per second), $NAME.p50, $NAME.p99 and $NAME.max (milliseconds), $NAME.count (answered) and $NAME.failed. Without 'as' the NAME is measure. The longest may be a request that is not answered yet.",
			example: "cluster servers 3\ntraffic start 2000\nmeasure 300ms as calm\necho $calm.ops $calm.p99\ntraffic stop", long: true, check: (*checker).measure, do: (*Player).measure,
		},
		{
			name: "timeline", args: "start TABLE SPAN | mark TEXT | stop", summary: "measure in the background, one SPAN after the other, each a row of a new table; mark what happens",
			detail:  "The columns are " + strings.Join(timelineColumns, ", ") + ": seconds since the start, and times of requests in milliseconds. See 'measure'.",
			example: "cluster servers 3\ntraffic start 1000\ntimeline start crash 50ms\nsleep 100ms\ntimeline mark 's3 is killed'\nkill s3\nwait s3 down\nsleep 100ms\ntimeline stop\ntraffic stop\nplot crash seconds p99 max marks=event",
			check:   (*checker).timelineVerb, do: (*Player).timelineVerb,
		},
		{
			name: "expect", args: "lost N | failed N | copies N | stall MILLISECONDS | delta SERVER [KEYS]", summary: "check that so many acknowledged keys read back wrong, so many requests went 10 s without an answer, every key is on exactly its targets with equal copies, no request of the traffic took longer, a server that came back copied only what changed, so many KEYS at most. What was never tried fails",
			example: "cluster servers 3\nfill 100\nexpect lost 0\nexpect failed 0\nexpect copies 3", check: (*checker).expect, do: (*Player).expectVerb,
		},
		{
			name: "summary", summary: "print the figures of a load",
			example: "cluster servers 3\nsh 'mkdir $CLUSTER/files; echo hello > $CLUSTER/files/a'\nload start $CLUSTER/files\nload finish\nsummary", private: isSeen, check: (*checker).summary, do: (*Player).summaryVerb,
		},
	}
}

// allVerbs is the vocabulary by name.
func allVerbs() map[string]verb {
	all := make(map[string]verb)
	for _, g := range vocabulary() {
		for _, v := range g.verbs {
			all[v.name] = v
		}
	}
	return all
}

// verbs are the script commands of the engine, those of the vocabulary, and the command line's.
func (p *Player) verbs() map[string]script.Cmd {
	all := script.DefaultCmds()
	wait, stop := all["wait"], all["stop"]
	add := func(v verb) {
		all[v.name] = script.Command(script.CmdUsage{Summary: v.summary, Args: v.args}, func(s *script.State, args ...string) (script.WaitFunc, error) {
			if v.name == "wait" && len(args) == 0 {
				return wait.Run(s)
			}
			out, err := p.doVerb(s.Context(), v, args)
			return func(*script.State) (string, string, error) { return out, "", err }, nil
		})
	}
	for _, v := range allVerbs() {
		add(v)
	}
	for _, name := range p.opts.Commands {
		add(verb{name: name, args: "…", summary: "the command of the same name, on this cluster", do: func(p *Player, ctx context.Context, args []string) (string, error) {
			return p.command(ctx, slices.Concat([]string{name}, args))
		}})
	}
	for _, name := range []string{"echo", "cat", "exec", "env"} {
		all[name] = p.shown(all[name])
	}
	all["stop"] = script.Command(*stop.Usage(), func(s *script.State, args ...string) (script.WaitFunc, error) {
		p.ended = true
		return stop.Run(s, args...)
	})
	return all
}

// doVerb plays a verb, and bounds it.
func (p *Player) doVerb(ctx context.Context, v verb, args []string) (string, error) {
	if !v.long {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	out, err := v.do(p, ctx, args)
	return out, v.explain(err)
}

// explain says how a verb is used, where it is used wrongly.
func (v verb) explain(err error) error {
	if errors.Is(err, script.ErrUsage) {
		return fmt.Errorf("usage: %s", v.usage())
	}
	return err
}

// shown is a command of the engine that prints something, shown to people as well.
func (p *Player) shown(cmd script.Cmd) script.Cmd {
	return script.Command(*cmd.Usage(), func(s *script.State, args ...string) (script.WaitFunc, error) {
		wait, err := cmd.Run(s, args...)
		if wait == nil {
			return nil, err
		}
		return func(s *script.State) (stdout, stderr string, err error) {
			stdout, stderr, err = wait(s)
			p.print(stdout)
			p.print(stderr)
			return stdout, stderr, err
		}, nil
	})
}
