#!/usr/bin/env bash
# kill -9 of primaries under load, one after the other: for how long each key that
# it was primary of can't be written. With the defaults, and with --fast.
. "$(dirname "$0")/lib.sh"
kills=${FAILOVER_KILLS:-20}
figure=""
row() { printf '%-8s %6s %10s %10s %10s %10s %8s %6s\n' "$@"; }
# series NAME MEDIAN WORST FLAG…: the bounds are in ms, 0 for none.
series() {
	local name=$1 bar=$2 bound=$3
	shift 3
	{
		echo "cluster servers 4 $*"
		echo "fill 1000"
		echo "traffic start 1000"
		for i in $(seq "$kills"); do
			printf 'outage s%d\nrestart s%d\nwait balanced\n' $((i % 4 + 1)) $((i % 4 + 1))
		done
		printf 'traffic stop\nexpect failed 0\nexpect lost 0\nexpect copies 3\n'
	} >"$work/failover.txt"
	if "$vr" run "$work/failover.txt" >"$work/played" 2>&1; then ok; else
		miss "failover $name"
		tail -15 "$work/played" | sed 's/^/    /'
	fi
	local pattern='s/^  outage s[0-9]: [0-9]* keys, down in the view after \([0-9]*\) ms, written again from \([0-9]*\) to \([0-9]*\) ms'
	sed -n "$pattern/\3/p" "$work/played" | sort -n >"$work/all"
	local n median worst down first
	n=$(wc -l <"$work/all")
	median=$(sed -n "$(((n + 1) / 2))p" "$work/all") worst=$(tail -1 "$work/all")
	down=$(sed -n "$pattern/\1/p" "$work/played" | sort -n | sed -n "$(((n + 1) / 2))p")
	first=$(sed -n "$pattern/\2/p" "$work/played" | sort -n | sed -n "$(((n + 1) / 2))p")
	same "kills" "$n" "$kills"
	row "$name" "$n" "${down:-?} ms" "${first:-?} ms" "${median:-?} ms" "${worst:-?} ms" \
		"$(sed -n 's/^  traffic: .* \([0-9]*\) failed.*/\1/p' "$work/played")" "$(sed -n 's/^  traffic: .* \([0-9]*\) lost.*/\1/p' "$work/played")"
	if [ "${median:-9999}" -le "$bar" ]; then ok; else miss "$name: the median is $median ms, not $bar at most"; fi
	if [ "${worst:-9999}" -le "$bound" ]; then ok; else miss "$name: the worst is $worst ms, not $bound at most"; fi
	figure="$figure$name: median $median ms, worst $worst ms; "
}
row "" kills "seen down" "first key" "median" "worst" failed lost
series default 1000 2000
series fast 500 1000 --fast
finish "time until each key is written again, $kills kills: ${figure%; }; 0 failed, 0 acknowledged writes lost"
