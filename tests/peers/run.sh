#!/usr/bin/env bash
# viewring beside Redis, etcd, NATS and Olric on this machine: builds all, measures three
# runs of each in about twenty minutes, and leaves table.md and timeline.svg in the folder
# named (default: this one's results). Needs redis-server; further arguments go to peers:
# tests/peers/run.sh OUT -runs 1 -span 2s. With -goals it leaves goals.md instead: disks,
# memory, idleness and many keys, about ten minutes a run. With -locks (locks.sh), with
# -zookeeper (zookeeper.sh), -tree, -classic or -rebalance, or with -only and no Redis among them, none is needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-$here/results}")
shift $(($# > 0))
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
redis=1
[[ " $* " == *" -locks "* || " $* " == *" -zookeeper "* || " $* " == *" -tree "* || " $* " == *" -classic "* || " $* " == *" -rebalance "* ]] && redis=
[[ " $* " =~ " -only "([^ ]+) && ,${BASH_REMATCH[1]}, != *,redis,* ]] && redis=
[[ -z $redis ]] || command -v redis-server >/dev/null || {
	echo "redis-server is needed (Debian: redis)" >&2
	exit 1
}
(cd "$here/../.." && go build -o "$work/viewring" .)
(cd "$here" && go build -o "$work/peers" .)
nproc | xargs echo "processors:"
uptime
[[ -z $redis ]] || redis-server --version
(cd "$here" && go list -m go.etcd.io/etcd/server/v3 github.com/nats-io/nats-server/v2 github.com/olric-data/olric)
"$work/peers" -viewring "$work/viewring" -out "$out" "$@"
