#!/usr/bin/env bash
# Rebalancing in one table: four servers under load of 64 clients (95 % get, 1 KiB), of which a fifth joins and
# leaves, one joins without load, one returns after ten seconds away and one is killed for good. Leaves rebalance.md
# and rebalance.csv in the folder named (default: tests/peers/results): three runs of 128 MiB, about four minutes.
# Further arguments: -runs N, -size MiB (1024 needs 15 GiB of disk), -span 5s of load before each. The table says
# which goals are met; the exit code is 0 unless something could not be measured. What it means: rebalance/DESIGN.md.
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/../tests/peers/run.sh" "${1:-$here/../tests/peers/results}" -rebalance "${@:2}"
