#!/usr/bin/env bash
# viewring bench: three servers and the load on this machine, 64 connections,
# 1 KiB; beside redis-benchmark against one Redis that syncs each write too. It
# prints figures and ratios, and holds no machine to a number.
. "$(dirname "$0")/lib.sh"
seconds=${BENCH_SECONDS:-5}
up
rate() { # MODE, from the JSON
	sed 's/},{/}\n{/g' <<<"$out" | grep "\"mode\":\"$1\"" | grep -o '"per_second":[0-9]*' | cut -d: -f2
}
set=0 get=0
for try in 1 2; do # the better of two: others may use the machine
	exits 0 "$vr" bench --connections 64 --value-size 1024 --seconds "$seconds" --keys 20000 --json
	json
	echo "viewring, 3 servers, each write synced by all 3: set $(rate set)/s, get $(rate get)/s"
	[ "$(rate set)" -le $set ] || set=$(rate set)
	[ "$(rate get)" -le $get ] || get=$(rate get)
done
down
figure="set $set/s, get $get/s"
if [ "$set" -gt 0 ] && [ "$get" -gt 0 ]; then ok; else miss "nothing was measured: set $set/s, get $get/s"; fi
if command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null; then
	p=$(port)
	mkdir "$work/redis"
	start redis.log redis-server --port "$p" --dir "$work/redis" --appendonly yes --appendfsync always --save ''
	until_ok 10 "Redis is up" redis-cli -p "$p" PING
	redis() { redis-benchmark -p "$p" -c 64 -d 1024 -r 20000 -n "$1" -t "$2" --csv 2>/dev/null | grep -i "^\"$2\"" | cut -d'"' -f4 | cut -d. -f1; }
	rset=$(redis 50000 set) rget=$(redis 200000 get)
	redis-cli -p "$p" SHUTDOWN NOSAVE >/dev/null 2>&1
	echo "Redis, 1 server, appendfsync always: set $rset/s, get $rget/s"
	figure="$figure; Redis $rset and $rget; ratio $(awk "BEGIN{printf \"%.2f and %.2f\", $set/$rset, $get/$rget}")"
else
	echo "no redis-server here: nothing to compare with (Debian: redis)"
fi
finish "$figure"
