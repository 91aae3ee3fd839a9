#!/usr/bin/env bash
# SIGKILL of every process at once while it is written to, again and again; what
# was acknowledged is there. Also in the middle of a rebalancing (storm.txt). This is the death of processes: what the machine's own
# death loses is played by the scheduler of tests/sim and by server/store.
. "$(dirname "$0")/lib.sh"
requests=0
for script in power.txt storm.txt; do
	play $script
	echo "$script:"
	grep -E '^  ([0-9]+ requests|[0-9]+ keys read back)' "$work/played"
	requests=$((requests + $(sed -n 's/^  \([0-9]*\) requests, .*/\1/p' "$work/played" | tail -1)))
	kills=$((${kills:-0} + $(grep -c '^> kill all' "$work/played")))
done
finish "every process killed $kills times; $requests requests, 0 lost, 0 failed"
