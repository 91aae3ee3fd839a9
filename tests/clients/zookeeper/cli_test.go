package zookeeper

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// cliClient is zkCli.sh, ZooKeeper's own: its main class, which that script starts.
var cliClient = zkClient{name: "zkCli.sh", run: runCLI, missing: hasZooKeeper}

// step is a feature of a program that is told lines.
type step struct {
	feature string
	say     []string
	hear    []string // in this order
	not     string   // what must not be said
	other   string   // what is said where this is done otherwise than by ZooKeeper
}

// steps tries features by a program; hush says something that is answered by its last word.
func steps(t *testing.T, k *talk, hush func(n int) (say, hear string), all []step) (results []result) {
	t.Helper()
	for n, s := range all {
		say, hear := hush(n)
		k.say(s.say...)
		heard, err := k.hears(s.other, s.hear...)
		if say != "" { // all that the step says is heard when this is
			from := k.read
			k.say(say)
			if unheard := k.await(hear, func(string) error { return nil }); err == nil {
				err = unheard
			}
			heard += k.out.Text()[from:k.read]
		}
		if err == nil && slices.ContainsFunc(refusals, func(r string) bool { return strings.Contains(heard, r) }) {
			err = fmt.Errorf("%w: %q", errRefused, heard)
		}
		if err == nil && s.not != "" && strings.Contains(heard, s.not) {
			err = fmt.Errorf("%q was said: %q", s.not, heard)
		}
		r := result{feature: s.feature}
		r.outcome, r.why = outcomeOf(err)
		results = append(results, r)
		k.read = len(k.out.Text())
	}
	return results
}

func runCLI(t *testing.T, addr string) (version string, results []result) {
	t.Helper()
	cmd := exec.Command("java", "-cp", zooKeeperJar, "org.apache.zookeeper.ZooKeeperMain", "-timeout", "4000", "-server", addr)
	k := startTalk(t, cmd)
	if _, err := k.hears("", "state:SyncConnected"); err != nil {
		t.Fatalf("zkCli.sh: %v", err)
	}
	k.say("version")
	heard, err := k.hears("", "ZooKeeper CLI version: ", "-")
	if err != nil {
		t.Fatalf("zkCli.sh: %v", err)
	}
	version = "zkCli.sh " + strings.TrimSuffix(heard[strings.LastIndex(heard, " ")+1:], "-")
	hush := func(n int) (say, hear string) { // an unknown command is answered by itself
		mark := fmt.Sprint("mark-", n)
		return mark, "Command not found " + mark
	}
	results = steps(t, k, hush, []step{
		{feature: "create", say: []string{"create /cli v", "create /cli w", "create /cli/x 1", "create /cli/y", "create /no/x"},
			hear: []string{"Created /cli\n", "Node already exists: /cli", "Created /cli/x", "Created /cli/y", "Node does not exist: /no/x"}},
		{feature: "create -s, -e", say: []string{"create -s /cli/s- 1", "create -e /cli/e 1", "create -e -s /cli/es- 1"},
			hear: []string{"Created /cli/s-00000000", "Created /cli/e\n", "Created /cli/es-00000000"}},
		{feature: "ls", say: []string{"ls /cli"}, hear: []string{"[e, es-", "s-", "x, y]"}},
		{feature: "ls -R", say: []string{"ls -R /cli"}, hear: []string{"/cli\n", "/cli/x\n", "/cli/y\n"}},
		{feature: "ls -s", say: []string{"ls -s /cli"}, hear: []string{"x, y]", "cversion = 5", "numChildren = 5"}},
		{feature: "stat", say: []string{"stat /cli/x", "stat /cli/no"}, hear: []string{"cZxid = 0x", "dataVersion = 0", "dataLength = 1", "Node does not exist: /cli/no"}},
		{feature: "get", say: []string{"get /cli"}, hear: []string{"v\n"}},
		{feature: "set", say: []string{"set /cli w", "get /cli", "set -s -v 1 /cli u", "set -v 1 /cli t", "get -s /cli"},
			hear: []string{"w\n", "dataVersion = 2", "version No is not valid : /cli", "u\n", "mZxid"}},
		{feature: "get -w", say: []string{"get -w /cli/x", "set /cli/x 2"}, hear: []string{"1\n", "type:NodeDataChanged path:/cli/x"}},
		{feature: "ls -w", say: []string{"ls -w /cli", "create /cli/z"}, hear: []string{"type:NodeChildrenChanged path:/cli"}},
		{feature: "addWatch", say: []string{"addWatch /cli/x", "set /cli/x 3", "create /cli/x/deep", "set /cli/x 4"},
			hear: []string{"type:NodeDataChanged path:/cli/x", "type:NodeCreated path:/cli/x/deep", "type:NodeDataChanged path:/cli/x"}},
		{feature: "removewatches", say: []string{"removewatches /cli/x -a"}, not: "No watch"},
		{feature: "getAcl", say: []string{"getAcl /cli"}, hear: []string{"'world,'anyone", ": cdrwa"}},
		{feature: "setAcl", say: []string{"setAcl /cli/y world:anyone:cdrwa", "getAcl -s /cli/y"}, hear: []string{"aclVersion = 1"}, other: "aclVersion = 0"},
		{feature: "getEphemerals", say: []string{"getEphemerals /cli"}, hear: []string{"/cli/e"}},
		{feature: "getAllChildrenNumber", say: []string{"getAllChildrenNumber /cli"}, hear: []string{"7\n"}},
		{feature: "whoami", say: []string{"whoami", "stat /cli/no"}, hear: []string{"ip: "}, other: "Node does not exist"},
		{feature: "sync", say: []string{"sync /"}, hear: []string{"Sync is OK"}},
		{feature: "delete", say: []string{"delete /cli", "delete /cli/y", "stat /cli/y"}, hear: []string{"Node not empty: /cli", "Node does not exist: /cli/y"}},
		{feature: "deleteall", say: []string{"deleteall /cli/x", "deleteall /cli", "stat /cli"}, hear: []string{"Node does not exist: /cli\n"}},
		{feature: "deleteall -b 1", say: []string{"create /cli v", "create /cli/x v", "create /cli/x/y v", "deleteall -b 1 /cli", "stat /cli"}, hear: []string{"Node does not exist: /cli\n"}},
	})
	k.say("quit")
	<-k.ended
	return version, results
}

// cMulti is the program of ZooKeeper's C client, as Debian's package zookeeper-bin has it.
const cMulti = "/usr/lib/zookeeper/bin/cli_mt"

// cClient is the C client.
var cClient = zkClient{name: "C client (cli_mt)", run: runC, missing: func() error {
	_, err := os.Stat(cMulti)
	return err
}}

func runC(t *testing.T, addr string) (version string, results []result) {
	t.Helper()
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		t.Fatal(addr, err)
	}
	k := startTalk(t, exec.Command(cMulti, addr))
	if _, err := k.hears("", "Got a new session id: 0x"); err != nil {
		t.Fatalf("cli_mt: %v", err)
	}
	hush := func(int) (string, string) { return "", "" }
	return "cli_mt", steps(t, k, hush, []step{
		{feature: "create", say: []string{"create /c"}, hear: []string{"[/c]: rc = 0", "name = /c"}},
		{feature: "create2", say: []string{"create2 /c/x"}, hear: []string{"[/c/x]: rc = 0", "name = /c/x"}},
		{feature: "create +s", say: []string{"create +s /c/s-"}, hear: []string{"rc = 0", "name = /c/s-00000000"}},
		{feature: "create +e", say: []string{"create +e /c/e"}, hear: []string{"rc = 0", "name = /c/e"}},
		{feature: "create again", say: []string{"create /c"}, hear: []string{"[/c]: rc = -110"}},
		{feature: "set, get", say: []string{"set /c hello", "get /c"}, hear: []string{"/c: rc = 0", "/c: rc = 0", "value_len = 5", "hello"}},
		{feature: "ls", say: []string{"ls /c"}, hear: []string{"/c: rc = 0", "x"}},
		{feature: "ls2", say: []string{"ls2 /c"}, hear: []string{"/c: rc = 0", "x", "version=1"}},
		{feature: "exists", say: []string{"exists /c/no"}, hear: []string{"Error -101 for /c/no"}},
		{feature: "wexists", say: []string{"wexists /c/x", "set /c/x 1"}, hear: []string{"CHANGED_EVENT", "/c/x"}},
		{feature: "sync", say: []string{"sync /c"}, hear: []string{"rc = 0"}},
		{feature: "delete", say: []string{"delete /c", "delete /c/x"}, hear: []string{"/c: rc = -111", "/c/x: rc = 0"}},
		{feature: "exists, of what is deleted", say: []string{"exists /c/x"}, hear: []string{"Error -101 for /c/x"}},
	})
}
