#!/usr/bin/env bash
# SIGKILL of the view leader alone: getr and setr, each a new process, go on
# for longer than any lease; it returns with epoch, members and locks.
. "$(dirname "$0")/lib.sh"
l=$(port)
export VIEWRING_VIEWLEADER=127.0.0.1:$l
start leader.log "$vr" viewleader --listen "127.0.0.1:$l" --data "$work/leader"
leader_pid=$pid
for i in 1 2 3; do start "s$i.log" "$vr" server --listen 127.0.0.1:0 --data "$work/s$i"; done
three() { query | grep -q '"balanced":true.*"id":"s3"'; }
until_ok 30 "three servers are balanced" three
for i in $(seq 20); do exits 0 "$vr" setr "key $i" "value $i"; done
exits 0 "$vr" lock_get deploy alice
token=$out
exits 0 "$vr" lock_get backups carol
exits 0 "$vr" query_servers --json
members() { grep -o '"address":"[^"]*"\|"id":"[^"]*"\|"state":"[^"]*"\|"cluster":"[^"]*"' <<<"$out" | tr '\n' ' '; }
epoch=$(number epoch <<<"$out") before=$(members)
exits 0 "$vr" locks
locks=$out

kill -9 "$leader_pid"
until_ok 5 "the view leader is dead" gone "$leader_pid"
began=$SECONDS written=0 longest=0
while [ $((SECONDS - began)) -lt 6 ]; do # leases end within 3 s
	written=$((written + 1))
	t=$(date +%s%3N)
	exits 0 "$vr" setr "without $written" "leader $written"
	exits 0 "$vr" getr "without $written"
	took=$((($(date +%s%3N) - t) / 2))
	[ $took -le $longest ] || longest=$took
	same "a value written without a view leader" "$out" "leader $written"
	exits 0 "$vr" getr "key $((written % 20 + 1))"
done
exits 3 "$vr" query_servers --timeout 2s
says "$l"
exits 3 "$vr" lock_get deploy bob --wait 0 --timeout 2s

start again.log "$vr" viewleader --listen "127.0.0.1:$l" --data "$work/leader"
until_ok 20 "it is balanced again" three
exits 0 "$vr" query_servers --json
same "members" "$(members)" "$before"
now=$(number epoch <<<"$out")
same "the epoch" "$now" "$epoch"
exits 0 "$vr" locks
same "locks" "$(sed 's/[0-9.]*m\{0,1\}s ago//' <<<"$out" | awk '{print $1, $2, $3}')" "$(sed 's/[0-9.]*m\{0,1\}s ago//' <<<"$locks" | awk '{print $1, $2, $3}')"
exits 0 "$vr" lock_get deploy alice
same "alice's token" "$out" "$token"
exits 4 "$vr" lock_get deploy bob --wait 0
exits 0 "$vr" lock_release deploy alice
exits 0 "$vr" lock_get deploy bob --wait 0
if [ "$out" -gt "$token" ]; then ok; else miss "bob's token $out is not above alice's $token"; fi
for i in $(seq "$written"); do
	exits 0 "$vr" getr "without $i"
	same "a value written meanwhile" "$out" "leader $i"
done
finish "$written setr and $((2 * written)) getr without a view leader, longest ${longest} ms; epoch $epoch then $now, 3 members and 2 locks back"
