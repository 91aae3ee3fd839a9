#!/usr/bin/env bash
# SIGTERM of servers under load, one after the other, each started again: no
# request fails, by viewring's client and by plain cluster-aware Redis clients; how
# long the longest took is printed, beside the same load without any SIGTERM. Then
# where nobody can take over, and SIGINT.
. "$(dirname "$0")/lib.sh"
rounds=${SIGTERM_ROUNDS:-10}
stalls=$work/stalls
figure=""
longest=
try() { # SERVERS
	{
		echo "cluster servers $1"
		echo "fill 1000"
		echo "traffic start 1000 plain"
		for i in $(seq "$rounds"); do
			printf 'terminate s%d\nrestart s%d\nwait balanced\ntraffic round\n' $((i % $1 + 1)) $((i % $1 + 1))
		done
		printf 'traffic stop\nexpect failed 0\nexpect lost 0\nexpect copies 3\n'
	} >"$work/sigterm.txt"
	if "$vr" run "$work/sigterm.txt" >"$work/played" 2>&1; then ok; else
		miss "$1 servers"
		tail -15 "$work/played" | sed 's/^/    /'
	fi
	sed -n 's/^  round: longest request \([0-9]*\) ms by the client, \([0-9]*\) ms by a plain one.*/\1 \2/p' "$work/played" >"$stalls"
	echo "$1 servers, by round: longest request in ms by the client and by a plain one; ms until the process ended"
	paste "$stalls" <(sed -n 's/^  s[0-9] ended after \([0-9]*\) ms/\1/p' "$work/played")
	same "rounds with $1 servers" "$(wc -l <"$stalls")" "$rounds"
	longest=$(tr ' ' '\n' <"$stalls" | sort -n | tail -1)
}
cluster() { # SERVERS
	local calm
	printf 'cluster servers %d\nfill 1000\ntraffic start 1000 plain\nworkload start\nworkload 1000\nworkload stop\ntraffic round\ntraffic stop\n' "$1" >"$work/calm.txt"
	calm=$("$vr" run "$work/calm.txt" | sed -n 's/^  round: longest request \([0-9]*\) .*/\1/p')
	try "$1"
	echo "longest $longest ms; without any SIGTERM, just before: ${calm:-?} ms"
	figure="$figure$1 servers: $(sed -n 's/^  traffic: //p' "$work/played"), ${calm:-?} ms without SIGTERM; "
}
cluster 4
cluster 3

# Where nobody can take over it says so and ends; so it does without a view leader.
l=$(port)
export VIEWRING_VIEWLEADER=127.0.0.1:$l
start leader.log "$vr" viewleader --listen "127.0.0.1:$l" --data "$work/leader"
leader_pid=$pid
server() { start "$1.log" "$vr" server --listen 127.0.0.1:0 --data "$work/$1"; }
ends() { # LOG SIGNAL WORDS
	kill "-$2" "$pid"
	until_ok 4 "$1 ends by $2" gone "$pid"
	if grep -q "$3" "$work/$1.log"; then ok; else miss "$1 does not say \"$3\""; tail -3 "$work/$1.log"; fi
}
server a
until_ok 20 "the server has joined" grep -q "joined the cluster" "$work/a.log"
ends a TERM "fewer copies than min-copies"
server b
until_ok 20 "the server has joined" grep -q "joined the cluster" "$work/b.log"
ends b INT "joined"
if grep -q draining "$work/b.log"; then miss "SIGINT drains"; else ok; fi
server c
until_ok 20 "the server has joined" grep -q "joined the cluster" "$work/c.log"
kill -9 "$leader_pid"
began=$SECONDS
ends c TERM "without a hand-over"
same "more than 3 s without a view leader" $((SECONDS - began > 3)) 0
finish "$((2 * rounds)) SIGTERM under load; ${figure%; }"
