#!/usr/bin/env bash
# viewring's ZooKeeper front beside ZooKeeper (Debian's package zookeeper, and Java), three
# servers each, measured in turns in about five minutes; leaves zookeeper.md in the folder
# named (default: this one's results). Further arguments go to peers:
# tests/peers/zookeeper.sh OUT -runs 1 -span 1s
exec "$(dirname "$0")/run.sh" "${1:-$(dirname "$0")/results}" -zookeeper "${@:2}"
