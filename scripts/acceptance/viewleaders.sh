#!/usr/bin/env bash
# Three view leaders. Minorities, SIGTERM, a lost folder, a replacement, SIGKILL of
# everything; then SIGKILL of the head, again and again (VIEWLEADER_KILLS), under
# locks, joins and keys: how long until a new lock is granted.
. "$(dirname "$0")/lib.sh"
ports=() peers=""
for i in 1 2 3 4; do
	ports[i]=$(port)
	[ "$i" = 4 ] || peers=$peers,127.0.0.1:${ports[i]}
done
peers=${peers#,}
export VIEWRING_VIEWLEADER=$peers,127.0.0.1:${ports[4]}
leaders=()
lead() { # lead N LIST: view leader N, told of a list
	start "leader$1.log" "$vr" viewleader --listen "127.0.0.1:${ports[$1]}" --peers "$2" --data "$work/leader$1" --partitions 64
	leaders[$1]=$pid
}
servers=()
serve() {
	start "s$1.log" "$vr" server --viewleader "$VIEWRING_VIEWLEADER" --listen 127.0.0.1:0 --data "$work/s$1"
	servers[$1]=$pid
}
group() { "$vr" viewleaders --json 2>/dev/null; }
votes() { [ "$(group | grep -o '"role":"\(head\|follower\)","up":true,"lag":0' | wc -l)" = "$1" ]; }
three() { query | grep -q '"balanced":true.*"id":"s3"'; }
# the port of the head, and whose a port is
head_port() { group | sed -n 's/.*"address":"127.0.0.1:\([0-9]*\)","role":"head".*/\1/p'; }
numbered() { for i in 1 2 3 4; do [ "${ports[i]}" != "$1" ] || echo $i; done; }

for i in 1 2 3; do lead $i "$peers"; done
until_ok 30 "three view leaders vote" votes 3
for i in 1 2 3; do serve $i; done
until_ok 30 "three servers are balanced" three
exits 0 "$vr" viewleaders
says "3 up, a majority is 2: 1 may fail"
exits 0 "$vr" viewleaders --json
json
exits 0 "$vr" lock_get deploy alice
token=$out
exits 0 "$vr" setr key value

# a planned end hands over
h=$(numbered "$(head_port)")
kill -TERM "${leaders[h]}"
t=$(date +%s%3N)
exits 0 "$vr" lock_get planned carol
planned=$(($(date +%s%3N) - t))
until_ok 10 "SIGTERM ends the head" gone "${leaders[h]}"
none_may_fail() { "$vr" viewleaders | grep -q "none may fail"; }
until_ok 5 "none may fail now" none_may_fail

# a minority refuses, and keys go on
h2=$(numbered "$(head_port)")
kill -9 "${leaders[h2]}"
until_ok 10 "it is dead" gone "${leaders[h2]}"
exits 5 "$vr" viewleaders
says "no view leader is the head"
exits 3 "$vr" lock_get other bob --wait 0 --timeout 2s
exits 0 "$vr" setr key "without a majority"
exits 0 "$vr" getr key
same "the value" "$out" "without a majority"
lead "$h" "$peers"
lead "$h2" "$peers"
until_ok 30 "all three are back" votes 3
exits 0 "$vr" lock_get deploy alice
same "alice's token" "$out" "$token"

# a lost folder: back under a new id
lost=$(numbered "$(head_port)")
lost=$((lost % 3 + 1))
kill -9 "${leaders[lost]}"
until_ok 10 "it is dead" gone "${leaders[lost]}"
mv "$work/leader$lost" "$work/lost"
lead "$lost" "$peers"
# In one look, and with a vote: before that the lost folder, found again, may go on as member.
fourth() {
	local picture
	picture=$(group)
	grep -q '"id":4,"address":"[^"]*","role":"\(head\|follower\)","up":true,"lag":0' <<<"$picture" &&
		[ "$(grep -o '"id":' <<<"$picture" | wc -l)" = 3 ]
}
until_ok 30 "it is back as member 4" fourth
kill -9 "${leaders[lost]}"
until_ok 10 "it is dead" gone "${leaders[lost]}"
exits 4 "$vr" viewleader --listen "127.0.0.1:${ports[lost]}" --peers "$peers" --data "$work/lost" --partitions 64
says "removed"
lead "$lost" "$peers"
until_ok 30 "all three are back" votes 3

# a fourth for the head
exits 0 "$vr" viewleaders add "127.0.0.1:${ports[4]}"
lead 4 "$VIEWRING_VIEWLEADER"
until_ok 30 "four vote" votes 4
h=$(numbered "$(head_port)")
exits 0 "$vr" viewleaders remove "127.0.0.1:${ports[h]}"
until_ok 20 "the removed one ends" gone "${leaders[h]}"
until_ok 20 "three vote" votes 3
exits 0 "$vr" lock_get deploy alice
same "alice's token" "$out" "$token"
exits 4 "$vr" viewleaders remove 99

# SIGKILL of everything
kill -9 "${leaders[@]}" "${servers[@]}" 2>/dev/null
for i in 1 2 3 4; do [ $i = "$h" ] || until_ok 10 "view leader $i is dead" gone "${leaders[i]}"; done
for i in 1 2 3; do until_ok 10 "s$i is dead" gone "${servers[i]}"; done
for i in 1 2 3 4; do [ $i = "$h" ] || lead $i "$VIEWRING_VIEWLEADER"; done
for i in 1 2 3; do serve $i; done
until_ok 60 "the cluster is balanced again" three
exits 0 "$vr" lock_get deploy alice
same "alice's token after all restarted" "$out" "$token"
exits 0 "$vr" getr key
same "the value after all restarted" "$out" "without a majority"
kill_all

VIEWRING_SLOW=1 VIEWLEADER_KILLS=${VIEWLEADER_KILLS:-20} go -C "$here/../.." test -count=1 -timeout 20m -run 'TestViewLeadersKilled$' -v ./tests/faults >"$work/kills" 2>&1
same "kills: exit code" $? 0
sed -n 's/^ *[a-z_]*\.go:[0-9]*: \(kills [0-9]*: .*\|grants [0-9]*: .*\|key operations .*\)/  \1/p' "$work/kills"
figure=$(sed -n 's/^.*: kills \([0-9]*\): time until a new lock is granted: \(.*\)/\1 kills of the head, new lock after: \2/p' "$work/kills")
[ -n "$figure" ] || tail -20 "$work/kills"
finish "${figure:-no figures}; planned end $planned ms"
