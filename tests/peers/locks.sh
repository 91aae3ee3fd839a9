#!/usr/bin/env bash
# viewring's locks beside etcd's on this machine: three members each, measured in turns in
# about two minutes; leaves locks.md in the folder named (default: this one's results).
# Further arguments go to peers: tests/peers/locks.sh OUT -runs 1 -span 1s
exec "$(dirname "$0")/run.sh" "${1:-$(dirname "$0")/results}" -locks "${@:2}"
