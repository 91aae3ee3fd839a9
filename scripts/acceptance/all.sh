#!/usr/bin/env bash
# Runs all acceptance scripts, or those named, and prints a line for each:
#   all.sh [BINARY [SCRIPT…]]
here=$(cd "$(dirname "$0")" && pwd)
logs=$(mktemp -d "${TMPDIR:-/tmp}/viewring-acceptance-logs-XXXXXX") || exit 1
vr=${1:-}
shift $(($# > 0 ? 1 : 0))
if [ -z "$vr" ]; then
	vr=$logs/viewring
	(cd "$here/../.." && go build -o "$vr" .) || exit 1
fi
[ $# -gt 0 ] || set -- commands redis sizes return power gone sigterm failover fulldisk leader viewleaders values badinput demo bench
failed=0
printf '%-11s %-5s %8s  %s\n' SCRIPT "" SECONDS FIGURE
for name; do
	began=$(date +%s%3N)
	result=ok
	"$here/$name.sh" "$vr" >"$logs/$name.log" 2>&1 || result=MISS failed=$((failed + 1))
	took=$(($(date +%s%3N) - began))
	printf '%-11s %-5s %6d.%d  %s\n' "$name" "$result" $((took / 1000)) $((took % 1000 / 100)) \
		"$(sed -n 's/^figure: //p' "$logs/$name.log" | tail -1)"
	[ $result = ok ] || sed 's/^/    /' "$logs/$name.log"
done
if [ $failed -gt 0 ]; then
	echo "$failed of $# missed; logs in $logs"
	exit 1
fi
rm -rf "$logs"
