#!/usr/bin/env bash
# A server that is down for less than --out-after copies only what changed.
. "$(dirname "$0")/lib.sh"
play return.txt
sed -n 's/^  \(s[0-9] since its start.*\)/\1/p' "$work/played"
finish "200 keys of 2000 changed: $(sed -n 's/^  s2 since its start: //p' "$work/played")"
