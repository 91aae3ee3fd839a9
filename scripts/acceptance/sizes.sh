#!/usr/bin/env bash
# 1, 2, 3, 4, 5, 7 and 12 servers: 2,000 keys, each on exactly min(3, N) of
# them, its targets; again so after a join, and after a crash once the killed
# server is out. The stores are looked at the moment "rebalanced" is said.
# sizes.sh BINARY N… plays these sizes only.
. "$(dirname "$0")/lib.sh"
shift $(($# > 0 ? 1 : 0))
sizes=${*:-1 2 3 4 5 7 12}
said=0 slowest=0
for n in $sizes; do
	play sizes.txt --set "N=$n"
	copies=$(sed -n 's/^  \([0-9]* keys, [0-9]* copies\) in the.*/\1/p' "$work/played" | tr '\n' ';')
	times=$(sed -n 's/^  balanced after \([0-9.]* s\).*/\1/p' "$work/played" | sed 1d | paste -sd' ')
	said=$((said + $(grep -c 'said to be rebalanced: .* 0 faults' "$work/played")))
	echo "$n servers: $copies balanced after $times"
done
same "times that rebalanced was said with all stores agreed" "$said" $((3 * $(wc -w <<<"$sizes")))
play twoservers.txt
finish "$(wc -w <<<"$sizes") sizes, 2000 keys each, 0 lost; rebalanced said $said times, 0 faults in the stores at that moment"
