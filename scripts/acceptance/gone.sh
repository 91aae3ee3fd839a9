#!/usr/bin/env bash
# Every server that held a partition is gone: reads and writes say UNAVAILABLE
# at once, never "not found"; with two of three back they go on. An operator
# gives up what never returns; when it does, it is not seen again.
. "$(dirname "$0")/lib.sh"
l=$(port)
export VIEWRING_VIEWLEADER=127.0.0.1:$l
declare -A pid_of at
start leader.log "$vr" viewleader --listen "127.0.0.1:$l" --data "$work/leader" --out-after 5s
server() { # NAME: start it on its data, at the address that it had
	at[$1]=${at[$1]:-127.0.0.1:$(port)}
	start "$1.log" "$vr" server --listen "${at[$1]}" --data "$work/$1"
	pid_of[$1]=$pid
}
state() { "$vr" query_servers | awk -v id="$1" '$1 == id { print $3 }'; }
is() { [ "$(state "$1")" = "$2" ]; }
# quick CODE TEXT COMMAND…: the command ends so, says that, and takes no time.
longest=0
quick() {
	local code=$1 text=$2 t
	shift 2
	t=$(date +%s%3N)
	exits "$code" "$@"
	says "$text"
	t=$(($(date +%s%3N) - t))
	[ $t -le $longest ] || longest=$t
	if [ $t -le 2000 ]; then ok; else miss "$t ms: $*"; fi
}
for s in s1 s2 s3; do
	server $s
	until_ok 20 "$s is up" is $s up
done
until_ok 30 "balanced" balanced
for i in $(seq 20); do exits 0 "$vr" setr "key $i" "value $i"; done

for s in s1 s2 s3; do kill -9 "${pid_of[$s]}"; done
for s in s1 s2 s3; do until_ok 20 "$s is down" is $s down; done
for i in $(seq 10); do
	quick 5 "held last by s" "$vr" getr "key $i"
	quick 5 "start one of them again" "$vr" setr "key $i" never
	quick 5 unavailable "$vr" getr "absent $i"
	quick 5 unavailable "$vr" delr "key $i"
done
refused=$longest

# A stranger knows who held what, and sends nobody to a dead address.
server s4
until_ok 20 "s4 is up" is s4 up
quick 5 "held last by s" "$vr" getr "key 1"
reply() { printf 'GET key\r\n' | timeout 5 bash -c 'exec 3<>"/dev/tcp/${0%:*}/${0##*:}"; cat >&3; head -1 <&3' "${at[s4]}"; }
case $(reply) in -CLUSTERDOWN*) ok ;; *) miss "a Redis client reads $(reply)" ;; esac

# Two are back: values are, what is missing is missing, and writes go on.
for s in s2 s3; do server $s; done
for s in s2 s3; do until_ok 20 "$s is up" is $s up; done
for i in $(seq 20); do
	exits 0 "$vr" getr "key $i"
	same "a value read back" "$out" "value $i"
	exits 1 "$vr" getr "absent $i"
	exits 0 "$vr" setr "key $i" "new $i"
done

# One is left: a write wants two copies.
for s in s3 s4; do kill -9 "${pid_of[$s]}"; done
for s in s3 s4; do until_ok 20 "$s is down" is $s down; done
for i in $(seq 10); do quick 5 "copies that a write needs" "$vr" setr "key $i" never; done
for s in s1 s3 s4; do server $s; done
until_ok 60 "balanced" balanced
for i in $(seq 20); do
	exits 0 "$vr" getr "key $i"
	same "a value that was not written" "$out" "new $i"
	exits 0 "$vr" setr "key $i" "last $i"
	exits 0 "$vr" getr "key $i"
	same "a value with all back" "$out" "last $i"
done

# All but s4 are gone for good: an operator gives up what s4 does not hold.
exits 4 "$vr" accept-loss 0
says "is not lost"
for s in s1 s2 s3; do kill -9 "${pid_of[$s]}"; done
for s in s1 s2 s3; do until_ok 20 "$s is down" is $s down; done
lost=$(query | number unavailable)
if [ "${lost:-0}" -gt 0 ]; then ok; else miss "no partition is unavailable"; fi
exits 4 "$vr" accept-loss --all-unavailable
says "held last by"
says "down since"
says "--yes gives up $lost partitions"
same "unavailable partitions without --yes" "$(query | number unavailable)" "$lost"
exits 0 "$vr" accept-loss --all-unavailable --yes
says "held last by"
says "gave up $lost partitions"
same "unavailable partitions" "$(query | number unavailable)" 0
exits 0 "$vr" accept-loss --all-unavailable --yes --json
json
exits 0 "$vr" events
says accepted-loss
says "$lost partitions: "
"$vr" events --follow --since "$("$vr" events --json | grep -o '"number":[0-9]*' | tail -1 | cut -d: -f2)" >"$work/follow" 2>&1 &
pids+=($!)
disown
absent=0
for i in $(seq 20); do
	run "$vr" getr "key $i"
	case $code in
	0) same "a value that s4 holds" "$out" "last $i" ;;
	1) absent=$((absent + 1)) ;;
	*) miss "exit $code: getr key $i" ;;
	esac
done
[ $absent -gt 0 ] || miss "nothing was lost"
server s5
until_ok 20 "s5 is up" is s5 up
for i in $(seq 20); do until_ok 30 "it can be written" "$vr" setr "key $i" "anew $i"; done
until_ok 5 "events --follow tells of s5" grep -q "s5 *joined" "$work/follow"

# The dead return: nothing of their old copies is seen again.
for s in s1 s2 s3; do server $s; done
until_ok 60 "balanced with all" balanced
for i in $(seq 20); do
	exits 0 "$vr" getr "key $i"
	same "a value written after the loss" "$out" "anew $i"
done
finish "all gone: exit 5 within ${refused} ms, values and writes are back with two of three; $lost partitions given up, $absent of 20 values lost, none came back"
