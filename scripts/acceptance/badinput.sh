#!/usr/bin/env bash
# Bad input: each a clear error with its exit code, soon, and nothing changed.
. "$(dirname "$0")/lib.sh"
up --data "$work/cluster" --servers 3
port_of() { sed 's/.*://' <<<"$1"; }
read -r s1 s2 s3 <<<"$servers"
exits 0 "$vr" setr kept value
picture() { query | sed 's/"\(log\|memory\)":{[^}]*}//g; s/"keys":[0-9]*\|"bytes":[0-9]*\|"stored_bytes":[0-9]*\|"heartbeat_ms":[0-9]*\|"disk_free":[0-9]*\|"rate":[0-9]*\|"files":[0-9]*\|"logins_refused":[0-9]*\|"\(clients\|clients_refused\|clients_cut_off\|requests_refused\)":[0-9]*//g'; }
until_ok 30 "balanced" balanced
before=$(picture)
unchanged() { same "the cluster after $1" "$(picture)" "$before"; }

# Command lines that make no sense.
exits 2 "$vr" nonsense
says 'unknown command "nonsense"'
exits 2 "$vr" getrr kept
says "did you mean"
says "getr"
exits 2 "$vr" getr --nonsense kept
says nonsense
exits 2 "$vr" query_servers --nonsense
says nonsense
exits 2 "$vr" getr
says "NAME is missing"
exits 2 "$vr" getr kept twice
says twice
exits 2 "$vr" setr kept
says "VALUE is missing"
exits 2 "$vr" set kept value
says "did you mean setr?"
exits 2 "$vr" get kept
says "did you mean getr?"
exits 2 "$vr" query_all_keys
says "--server"
exits 2 "$vr" print text
says "--server"
exits 2 "$vr" getr kept --timeout soon
says timeout
exits 2 "$vr" getr kept --viewleader nonsense
says HOST:PORT
exits 2 "$vr" lock_get lock
says "CLIENT is missing"
exits 2 "$vr" viewleader --partitions 1000 --data "$work/x"
says "power of two"
exits 2 "$vr" viewleader --listen nonsense --data "$work/x"
says nonsense
exits 2 "$vr" up --servers 0x
exits 2 "$vr" server --weight 0 --listen 127.0.0.1:0 --data "$work/x"
says "a weight is from 1 to 64"
exits 2 "$vr" server --nosuch 2 --listen 127.0.0.1:0 --data "$work/x"
says "unknown flag: --nosuch"
exits 4 "$vr" viewleader --listen 0.0.0.0:0 --data "$work/x"
says insecure
exits 1 "$vr" run no-such-script
says no-such-script
exits 2 "$vr" bulk load "$work/no-such-folder"
says no-such-folder
unchanged "command lines that make no sense"

# Servers and members that are not there.
exits 4 "$vr" leave s99
says s99
exits 4 "$vr" remove 127.0.0.1:1
says 127.0.0.1:1
exits 3 "$vr" get kept --server "127.0.0.1:$(port)"
unchanged "unknown servers"

# Ports in use.
exits 4 "$vr" server --listen "$s1" --data "$work/x"
says "in use"
says "$(port_of "$s1")"
exits 4 "$vr" viewleader --listen "$leader" --data "$work/y"
says "in use"
exits 4 "$vr" up --data "$work/z"
says "in use"
unchanged "ports in use"

# Data folders that can't be.
echo file >"$work/file"
for c in server viewleader; do
	exits 4 "$vr" $c --listen 127.0.0.1:0 --data "$work/file"
	says "$work/file"
	exits 4 "$vr" $c --listen 127.0.0.1:0 --data "$work/file/below"
	says "data folder"
	exits 4 "$vr" $c --listen 127.0.0.1:0 --data /proc/nonsense
	says "/proc/nonsense"
done
as=()
if [ "$(id -u)" = 0 ]; then # root may write anywhere
	if command -v setpriv >/dev/null; then as=(setpriv --reuid=65534 --regid=65534 --clear-groups); else echo "no setpriv: read-only folders are left out"; fi
fi
if [ "$(id -u)" != 0 ] || [ ${#as[@]} -gt 0 ]; then
	chmod 755 "$work"
	cp "$vr" "$work/anyone"
	mkdir "$work/readonly"
	chmod 555 "$work/readonly"
	for c in server viewleader; do
		for d in "$work/readonly" "$work/readonly/below"; do
			exits 4 "${as[@]}" "$work/anyone" $c --listen 127.0.0.1:0 --data "$d"
			says "data folder"
			says "permission denied"
			says "$work/readonly"
		done
	done
fi
unchanged "folders that can't be"

# Data folders in use, of another kind, and copied.
exits 4 "$vr" server --listen 127.0.0.1:0 --data "$work/cluster/s1"
says "in use"
exits 4 "$vr" viewleader --listen 127.0.0.1:0 --data "$work/cluster/leader"
says "in use"
exits 4 "$vr" up --private --data "$work/cluster"
says "in use"
exits 4 "$vr" server --listen 127.0.0.1:0 --data "$work/cluster/leader"
exits 4 "$vr" viewleader --listen 127.0.0.1:0 --data "$work/cluster/s1"
cp -r "$work/cluster/s1" "$work/copy"
for try in 1 2; do
	exits 4 "$vr" server --listen 127.0.0.1:0 --data "$work/copy"
	says s1
	says "one data folder"
done
unchanged "folders in use"

# View leaders that can't be reached: named, exit 3, within 5 s at the default --timeout; a busy
# machine has four times as long.
slowest=0
unreachable() {
	local t=$(date +%s%3N)
	exits 3 "$@"
	t=$(($(date +%s%3N) - t))
	says "$dead"
	[ $t -le $slowest ] || slowest=$t
	if [ $t -le 20000 ]; then ok; else miss "$t ms to say so: ${*/#$vr/viewring}"; fi
}
mkdir -p "$work/tree" && echo x >"$work/tree/x"
nobody_there() { # every command that wants one
	nobody_answers
	unreachable "$vr" delr kept --viewleader "$dead"
	unreachable "$vr" locks --viewleader "$dead"
	unreachable "$vr" lock_get deploy alice --viewleader "$dead"
	unreachable "$vr" lock_release deploy alice --viewleader "$dead"
	unreachable "$vr" leave s1 --viewleader "$dead"
	unreachable "$vr" bulk load "$work/tree" --viewleader "$dead"
	unreachable "$vr" bench --viewleader "$dead"
	unreachable "$vr" query_all_keys --server s1 --viewleader "$dead"
	unreachable "$vr" getr kept --json --viewleader "$dead"
	json
}
nobody_answers() {
	unreachable "$vr" getr kept --viewleader "$dead"
	unreachable "$vr" setr kept other --viewleader "$dead"
	unreachable "$vr" query_servers --viewleader "$dead"
}
dead=127.0.0.1:$(port) # nobody listens
nobody_there
l=$(port)
dead=127.0.0.1:$l # somebody listens and is silent
start silent.log "$vr" viewleader --listen "$dead" --data "$work/silent"
silent=$pid
until_ok 20 "a view leader listens" listens "$l"
kill -STOP "$silent"
nobody_answers
kill -9 "$silent"
unchanged "unreachable view leaders"

# Garbage on every port.
garbage() { # ADDR: whatever is sent, the other side may hang up while we talk
	local p
	p=$(port_of "$1")
	send() { (trap '' PIPE; exec 3<>"/dev/tcp/127.0.0.1/$p" && timeout 1 cat >&3) 2>/dev/null; }
	head -c 100000 /dev/urandom | send
	printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' | send
	printf '*1000000000\r\n' | send
	printf '*-5\r\n$-7\r\n' | send
	printf '*2\r\n$3\r\nGET\r\n$99999999999\r\n' | send
	printf '*1\r\n$7\r\nVR.LINK\r\n' | send
	printf '*2\r\n$7\r\nVR.LINK\r\n$5\r\nhello\r\n' | send
	printf '*2\r\n$5\r\nVR.DO\r\n$4\r\n\xff\xff\xff\xff\r\n' | send
	printf '*3\r\n$3\r\nSET\r\n$4\r\nkept\r\n$1000\r\nhalf' | send
	head -c 200000 /dev/zero | tr '\0' '*' | send
	head -c 2000000 /dev/zero | send
}
sent=0
for a in $leader $servers; do
	garbage "$a"
	sent=$((sent + 11))
done
for k in 1 2 3; do
	exits 0 "$vr" setr "after $k" "garbage $k"
	exits 0 "$vr" getr "after $k"
	same "a value after garbage" "$out" "garbage $k"
done
exits 0 "$vr" lock_get deploy alice
unchanged "garbage"
exits 0 "$vr" getr kept
same "the value that nobody was to change" "$out" value
same "processes that ended" "$(grep -c 'has ended' "$work/up.log")" 0
down
finish "every bad input refused; unreachable view leaders named within $slowest ms; $sent kinds of garbage on $(wc -w <<<"$leader $servers") ports disturb nobody"
