#!/usr/bin/env bash
# The README's two commands in a fresh clone, with an empty build cache: go run .
# demo, and go test ./... The cold build is timed apart. Takes minutes of all
# cores, so all.sh leaves it out.
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
git clone -q . "$work/clone" && cd "$work/clone" || exit 1
export GOCACHE=$work/cache
timed() {
	local t=$SECONDS
	"$@" >"$work/log" 2>&1 || { tail -30 "$work/log"; echo "figure: MISSED: $* failed"; exit 1; }
	took=$((SECONDS - t))
	echo "$*: $took s"
}
timed go build -o "$work/viewring" .
cold=$took
timed go run . demo
demo=$took
timed go test -run '^$' ./... # builds the tests
timed go test ./...
[ "$took" -lt 180 ] || { echo "figure: MISSED: go test took $took s"; exit 1; }
echo "figure: cold build $cold s; go run . demo $demo s; go test $took s once built"
