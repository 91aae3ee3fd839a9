#!/usr/bin/env bash
# The main job in one command, on the source tree of the Go toolchain (or DIR:
# demo.sh BINARY DIR): 0 failed, 0 lost, every copy in its place, under 90 s.
. "$(dirname "$0")/lib.sh"
began=$SECONDS
if timeout 300 "$vr" demo --json ${2:+--dir "$2"} >"$work/out" 2>"$work/log"; then ok; else
	miss "demo: exit $?"
	tail -15 "$work/log"
fi
out=$(cat "$work/out") took=$((SECONDS - began))
json
same "failed" "$(number failed <<<"$out")" 0
same "lost" "$(number lost <<<"$out")" 0
if [ $took -lt 90 ]; then ok; else miss "it took $took s"; fi
finish "$(number files <<<"$out") files, $(number bytes <<<"$out") bytes, $(number failed <<<"$out") failed, $(number lost <<<"$out") lost, slots moved $(number slots_moved <<<"$out") of $(number slots_needed <<<"$out") needed, $took s"
