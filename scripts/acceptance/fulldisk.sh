#!/usr/bin/env bash
# A server on a disk of a few tens of MB that fills up under writes. Where others
# suffice it gives its partitions to them: no request fails. Where they don't,
# writes are refused and say which server is full, reads and deletes go on; with
# room again it takes its place back. Nothing acknowledged is lost.
. "$(dirname "$0")/lib.sh"
disk=$work/disk
mkdir "$disk"
if [ "$(id -u)" != 0 ] || ! mount -t tmpfs -o size=128m tmpfs "$disk" 2>/dev/null; then
	echo "no right to mount a tmpfs here: left out"
	finish "left out"
fi
trap 'kill_all; umount -l "$disk" 2>/dev/null; ended' EXIT
reserve=$((32 << 20))
server() { start "$1.log" "$vr" server --listen 127.0.0.1:0 --data "$2" --disk-reserve $reserve; }
cluster() { # NAME SERVERS FLAG…: the last server is on the small disk
	local name=$1 n=$2 l
	shift 2
	l=$(port)
	export VIEWRING_VIEWLEADER=127.0.0.1:$l
	start "$name-leader.log" "$vr" viewleader --listen "127.0.0.1:$l" --data "$work/$name/leader" "$@"
	for i in $(seq $((n - 1))); do server "$name-s$i" "$work/$name/s$i"; done
	has() { [ "$(query | grep -o '"id":"s' | wc -l)" = "$1" ] && balanced; }
	until_ok 30 "the servers are balanced" has $((n - 1))
	server "$name-s$n" "$disk/$name"
	small_pid=$pid
	until_ok 60 "$n servers are balanced" has "$n"
}
full() { query | grep -q '"disk_full":true'; }
not_full() { ! full; }
acts() { query | sed 's/},{/}\n{/g' | grep "\"id\":\"$1\"" | grep -o '"\(primary\|backup\)":[0-9]*' | cut -d: -f2 | paste -sd+ | bc; }
acts_nowhere() { [ "$(acts "$1")" = 0 ]; }
acts_again() { balanced && ! acts_nowhere "$1"; }

# Four servers: 160 MB in files of 64 KiB; the small disk takes three quarters of
# it, so it can't take all.
mkdir "$work/files"
for i in $(seq 40); do head -c 4194304 /dev/urandom | split -b 65536 -a 3 - "$work/files/$i-"; done
cluster four 4
exits 0 "$vr" bulk load "$work/files" --json
same "files that failed to load" "$(number failed <<<"$out")" 0
loaded=$(number files <<<"$out")
until_ok 5 "the small disk is full" full
until_ok 10 "the full server acts nowhere" acts_nowhere s4
says_full() { "$vr" query_servers | grep -q 's4 .*disk full'; }
until_ok 5 "query_servers says so" says_full
same "free room is left" "$(($(df --output=avail -B1 "$disk" | tail -1) > 0))" 1
for i in $(seq 20); do exits 0 "$vr" setr "after $i" "value $i"; done
for i in $(seq 20); do
	exits 0 "$vr" getr "after $i"
	same "a value written afterwards" "$out" "value $i"
done
echo "4 servers: $loaded files loaded, s4 gave its place up with $(df --output=avail -BM "$disk" | tail -1 | tr -d ' ') free"
if gone "$small_pid"; then miss "the full server has ended"; tail -3 "$work/four-s4.log"; else ok; fi
kill "$small_pid"
until_ok 10 "the full server ends by SIGTERM" gone "$small_pid"
removes() { "$vr" remove s4; }
until_ok 10 "it is removed" removes
until_ok 30 "the others have all copies" balanced
exits 0 "$vr" bulk verify "$work/files" --json
same "files that read back wrong" "$(number wrong <<<"$out")" 0
kill_all
until_ok 10 "the first cluster has ended" gone "$small_pid"
rm -rf "$disk/four" "$work/files" "$work/four"

# Three servers that all must take each write.
cluster three 3 --min-copies 3
for i in $(seq 20); do exits 0 "$vr" setr "key $i" "value $i"; done
fallocate -l $(($(df --output=avail -B1 "$disk" | tail -1) - (reserve / 2))) "$disk/ballast"
until_ok 5 "the small disk is full" full
refused() { run "$vr" setr "key 1" other; [ "$code" = 5 ]; }
until_ok 5 "writes are refused" refused
refusals=0
for i in $(seq 20); do
	exits 5 "$vr" setr "key $i" other
	says "disk full on server s3"
	refusals=$((refusals + 1))
	exits 0 "$vr" getr "key $i"
	same "a value while the disk is full" "$out" "value $i"
done
exits 0 "$vr" delr "key 20"
rm "$disk/ballast"
until_ok 5 "the disk has room again" not_full
for i in $(seq 19); do
	exits 0 "$vr" getr "key $i"
	same "a value afterwards" "$out" "value $i"
	exits 0 "$vr" setr "key $i" again
done
exits 1 "$vr" getr "key 20"
if gone "$small_pid"; then miss "the full server has ended"; else ok; fi

# Full to the last byte it ends by itself, says why, and others go on where they may.
head -c 200M /dev/zero >"$disk/ballast" 2>/dev/null
until_ok 5 "the small disk is full" full
for i in $(seq 19); do run "$vr" delr "key $i"; gone "$small_pid" && break; done
if gone "$small_pid"; then
	if grep -q "no space left" "$work/three-s3.log"; then ok; else miss "it ended without a word of the disk"; tail -3 "$work/three-s3.log"; fi
fi
kill_all
until_ok 10 "the second cluster has ended" gone "$small_pid"
umount "$disk" || umount -l "$disk"
finish "$loaded files loaded, 0 failed, 0 lost while one of 4 disks filled up; $refusals writes refused and 0 lost where all 3 are needed"
