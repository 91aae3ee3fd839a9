#!/usr/bin/env bash
# The classic measurement of records: 1, 2, 4 and 8 producers, a consumer each that verifies all it reads, and
# a server that is killed half way. Leaves classic.md, classic.csv and classic.svg in the folder named (default:
# tests/peers/results), in about two minutes. It exits with 1 if a record is lost, twice, out of order or not as
# it was sent. What to expect: tests/peers/README.md.
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/../tests/peers/run.sh" "${1:-$here/../tests/peers/results}" -classic "${@:2}"
