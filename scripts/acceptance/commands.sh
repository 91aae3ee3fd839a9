#!/usr/bin/env bash
# Every command as a new user tries it: "up" in one shell, the rest in another,
# each exit code from 0 to 5, and the ways in which "up" ends.
. "$(dirname "$0")/lib.sh"
l=$(port)
export VIEWRING_VIEWLEADER=127.0.0.1:$l

# begin UP-FLAG…: up as a new user types it, with the view leader's port from the environment.
begin() {
	: >"$work/up.out"
	"$vr" up "$@" >"$work/up.out" 2>"$work/up.log" </dev/null &
	up_pid=$!
	pids+=("$up_pid")
	disown
	until_ok 60 "the cluster is up" grep -q "Ctrl-C ends it" "$work/up.out" || { tail -5 "$work/up.log"; finish "no cluster"; }
}
# address ID: of a server, from the table.
address() { "$vr" query_servers | awk -v id="$1" '$1 == id { print $2 }'; }
state() { "$vr" query_servers | awk -v id="$1" '$1 == id { print $3 }'; }
is() { [ "$(state "$1")" = "$2" ]; }
server_pid() { pgrep -f -- "--data $work/cluster/$1( |\$)"; }
every() { # of the commands: --help with an example
	for c in up viewleader server setr getr delr lock_get lock_release locks query_servers print set get query_all_keys \
		leave drain remove scrub accept-loss events "bulk load" "bulk verify" run demo bench version; do
		exits 0 "$vr" $c --help
		says "Examples:"
	done
	exits 0 "$vr" completion bash
	says viewring
	exits 0 "$vr" version
	says viewring
	exits 0 "$vr" version --json
	json
}
keys() {
	exits 0 "$vr" setr greeting hello
	exits 0 "$vr" getr greeting
	same "getr" "$(od -c "$work/out")" "$(printf hello | od -c)" # no newline but to a terminal
	exits 0 "$vr" setr temperature -5
	exits 0 "$vr" getr temperature
	same "a value that starts with -" "$out" -5
	same "setr from a pipe" "$(printf 'from a pipe' | "$vr" setr note - && "$vr" getr note)" "from a pipe"
	exits 0 "$vr" delr note
	exits 1 "$vr" getr note
	says "not found"
	exits 1 "$vr" delr note
	exits 0 "$vr" setr greeting again --json
	json
	exits 0 "$vr" getr greeting --json
	json
	same "value in JSON" "$(text value <<<"$out" | base64 -d)" again
	exits 1 "$vr" getr note --json
	json
	exits 3 "$vr" getr greeting --viewleader "127.0.0.1:$(port)" # flag over environment
}
locks() {
	exits 0 "$vr" lock_get deploy alice
	token=$out
	exits 0 "$vr" lock-get deploy alice
	same "the token of one who has it already" "$out" "$token"
	exits 4 "$vr" lock_get deploy bob --wait 0
	says alice
	exits 4 "$vr" lock_get deploy bob --wait 300ms
	exits 4 "$vr" lock_get deploy bob --timeout 2s
	exits 4 "$vr" lock_release deploy bob
	exits 4 "$vr" lock_release nothing bob
	for who in bob carol; do # in line, in this order
		"$vr" lock_get deploy $who >"$work/$who" 2>&1 &
		eval "$who=\$!"
		until_ok 10 "$who waits" sh -c "'$vr' locks --json | grep -q '\"waiters\":.*$(printf $who | base64)'"
	done
	same "bob while he waits" "$(cat "$work/bob")" ""
	exits 0 "$vr" locks
	says alice
	exits 0 "$vr" locks --json
	json
	exits 0 "$vr" lock_release deploy alice
	wait $bob
	same "exit code of bob, first in line" $? 0
	same "carol while bob has it" "$(cat "$work/carol")" ""
	exits 0 "$vr" lock_release deploy bob
	wait $carol
	same "exit code of carol" $? 0
	if [ "$(cat "$work/bob")" -gt "$token" ] && [ "$(cat "$work/carol")" -gt "$(cat "$work/bob")" ]; then ok; else miss "fencing tokens do not grow"; fi
	exits 0 "$vr" lock_release deploy carol
	exits 0 "$vr" lock_get deploy alice # who stops waiting is not in line any more
	for how in INT KILL; do
		start waiter.log "$vr" lock_get deploy gone
		until_ok 10 "one waits" sh -c "'$vr' locks | grep -q gone"
		kill -$how "$pid"
		until_ok 10 "who got SIG$how does not wait" sh -c "'$vr' locks | grep -q alice && ! '$vr' locks | grep -q gone"
	done
	exits 0 "$vr" lock_release deploy alice
	exits 0 "$vr" lock_get short dave --ttl 300ms
	exits 0 "$vr" lock_get short erin --json
	json
	exits 0 "$vr" lock_release short erin --json
	json
	exits 0 "$vr" locks
	says "no lock"
}
one_server() {
	exits 0 "$vr" print hello there --server s2
	until_ok 5 "the text is on its console" grep -q "s2 .*hello there" "$work/up.log"
	exits 0 "$vr" setr motto replicated
	exits 0 "$vr" set motto local --server s1
	exits 0 "$vr" get motto --server "$(address s1)"
	same "get" "$out" local
	exits 1 "$vr" get motto --server s2
	exits 0 "$vr" getr motto
	same "getr beside a local name" "$out" replicated
	exits 0 "$vr" query_all_keys --server s1
	says local
	says replicated
	exits 0 "$vr" query-all-keys --server s1 --json
	json
	exits 0 "$vr" get motto --server s1 --json
	json
	for c in "set motto x" "get motto" "print x" query_all_keys; do
		exits 2 "$vr" $c
		says "--server"
	done
}
folders() {
	mkdir -p "$work/tree/sub/deep"
	: >"$work/tree/empty"
	head -c 300000 /dev/urandom >"$work/tree/sub/random"
	for i in $(seq 50); do echo "$i" >"$work/tree/sub/deep/file $i"; done
	exits 0 "$vr" bulk load "$work/tree"
	says "52 of 52 files"
	exits 0 "$vr" bulk verify "$work/tree"
	exits 0 "$vr" bulk verify "$work/tree" --json
	json
	"$vr" getr sub/random >"$work/back"
	same_file "a file" "$work/back" "$work/tree/sub/random"
	exits 0 "$vr" setr "sub/deep/file 7" changed
	exits 0 "$vr" delr empty
	exits 1 "$vr" bulk verify "$work/tree"
	says "different"
	says "missing"
}
played() {
	printf 'cluster servers 1\nsetr a b\ngetr a\nstdout b\n' >"$work/good.txt"
	printf 'cluster servers 1\ngetr a\n' >"$work/bad.txt"
	exits 0 "$vr" run "$work/good.txt"
	exits 1 "$vr" run "$work/bad.txt"
	exits 0 "$vr" run --list
	says crash.txt
	exits 0 "$vr" bench --seconds 0.5 --keys 1000 --connections 8
	exits 0 "$vr" bench --seconds 0.2 --keys 1000 --connections 8 --json
	json
}
members() {
	exits 0 "$vr" query_servers
	says "safe: all 1024 partitions"
	exits 0 "$vr" query-servers --json
	json
	start watch.log "$vr" query_servers --watch
	watching=$pid
	start s4.log "$vr" server --data "$work/s4"
	s4=$pid
	until_ok 30 "s4 is up" is s4 up
	until_ok 30 "all copies are made" balanced
	until_ok 5 "--watch shows s4" grep -q "^s4 " "$work/watch.log"
	kill -INT "$watching"
	until_ok 5 "Ctrl-C ends --watch" gone "$watching"
	exits 0 "$vr" leave "$(address s4)"
	says "s4 is leaving"
	says "s4 has left"
	until_ok 10 "the process of s4 ends" gone "$s4"
	exits 4 "$vr" leave s4
	exits 0 "$vr" drain s3
	says "drained"
	same "s3" "$(state s3)" draining
	a=$(address s3)
	kill "$(server_pid s3)"
	until_ok 10 "s3 has ended" nobody_listens "${a##*:}"
	start s3.log "$vr" server --listen "$a" --data "$work/cluster/s3"
	s3=$pid
	until_ok 20 "s3 is up" is s3 up
	until_ok 30 "s3 has its place again" balanced
	exits 0 "$vr" getr motto
}
too_few() { # with one server left of three
	kill -9 "$(pgrep -f -- "--data $work/cluster/s3")"
	kill -9 "$(server_pid s2)"
	until_ok 20 "s2 is down" is s2 down
	until_ok 20 "s3 is down" is s3 down
	exits 5 "$vr" setr greeting late --timeout 2s
	exits 4 "$vr" drain s1
	exits 0 "$vr" query_servers
	says "read-only"
	exits 0 "$vr" remove s2 # what copies are too few wait for s3
	says "wait for [s3], which is down"
	exits 0 "$vr" remove s3 --json
	json
	exits 0 "$vr" setr greeting late
	exits 0 "$vr" getr greeting
	same "the value with one server left" "$out" late
	for verb in leave drain remove; do
		exits 4 "$vr" $verb s1 # the last one
		says refused
	done
}
begin --data "$work/cluster"
for word in "viewring" "setr" "getr" "query_servers" "redis-cli" "$work/cluster"; do
	if grep -q -- "$word" "$work/up.out"; then ok; else miss "up does not say $word"; fi
done
for part in every keys locks one_server folders played members; do
	t=$SECONDS
	$part
	echo "$part: $((SECONDS - t)) s"
done

# Ctrl-C ends all; the folder is resumed; SIGKILL ends all, too.
exits 0 "$vr" setr kept value
down
kill "$s3"
until_ok 10 "s3, which was started by hand, ends" gone "$s3"
until_ok 10 "nobody listens after Ctrl-C" nobody_listens "$l"
begin --data "$work/cluster"
if grep -q "up again" "$work/up.out"; then ok; else miss "up does not say that it resumed"; fi
exits 0 "$vr" getr kept
same "the value after resuming" "$out" value
until_ok 30 "balanced after resuming" balanced
members=$(address s1; address s2; address s3)
kill -9 "$up_pid"
for a in "127.0.0.1:$l" $members; do until_ok 10 "nobody listens at $a after SIGKILL of up" nobody_listens "${a##*:}"; done
begin --data "$work/cluster"
exits 0 "$vr" getr kept
same "the value after SIGKILL" "$out" value
until_ok 30 "balanced after SIGKILL" balanced
too_few
down
finish "23 commands, exit codes 0 to 5 as documented; up ends with all its children and resumes its folder"
