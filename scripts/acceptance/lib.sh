# Shared by the acceptance scripts; sourced, not run. It finds or builds the
# binary, makes a folder, counts what was checked and ends all that was started.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$(basename "$0" .sh)
work=$(mktemp -d "${TMPDIR:-/tmp}/viewring-accept-XXXXXX") || exit 1
unset VIEWRING_VIEWLEADER
export XDG_CACHE_HOME=$work/cache XDG_DATA_HOME=$work/data TMPDIR=$work/tmp NO_COLOR=1
mkdir "$TMPDIR"
pids=() # of what runs in the background
checks=0 misses=0

if [ -n "${1:-}" ]; then
	vr=$(readlink -f "$1")
else
	vr=$work/viewring
	(cd "$here/../.." && go build -o "$vr" .) || exit 1
fi
command -v python3 >/dev/null || echo "no python3: JSON is not parsed, only its version is looked at"
[ -x "$vr" ] || { echo "$name: no binary at $vr" >&2; exit 1; }

kill_all() {
	local pid
	for pid in ${pids[@]+"${pids[@]}"}; do kill -9 "$pid" 2>/dev/null; done
}
ended() {
	kill_all
	if [ -n "${KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap ended EXIT
trap 'exit 130' INT TERM

ok() { checks=$((checks + 1)); }
miss() {
	checks=$((checks + 1)) misses=$((misses + 1))
	echo "MISS: $*"
}

# run COMMAND…: code, out and err are what came of it.
run() {
	timeout --kill-after=5 60 "$@" >"$work/out" 2>"$work/err" </dev/null
	code=$?
	out=$(tr -d '\0' <"$work/out")
	err=$(tr -d '\0' <"$work/err")
}

# exits CODE COMMAND…: the command ends so.
exits() {
	local want=$1
	shift
	run "$@"
	if [ "$code" = "$want" ]; then ok; else
		miss "exit $code, not $want: ${*/#$vr/viewring}"
		printf '%s\n' "$out" "$err" | head -5 | sed 's/^/    /'
	fi
}

# says TEXT: standard output or error of the last command has it.
says() {
	case $out$err in
	*"$1"*) ok ;;
	*)
		miss "it does not say \"$1\""
		printf '%s\n' "$out" "$err" | head -5 | sed 's/^/    /'
		;;
	esac
}

# same WHAT GOT WANT
same() { if [ "$2" = "$3" ]; then ok; else miss "$1: \"$2\", not \"$3\""; fi; }

# file WHAT A B: the same bytes.
same_file() { if cmp -s "$2" "$3"; then ok; else miss "$1: $(wc -c <"$2") bytes differ from $(wc -c <"$3")"; fi; }

# until SECONDS WHAT COMMAND…: waits for it to succeed.
until_ok() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ]; then
			miss "waited in vain: $what"
			return 1
		fi
		sleep 0.05
	done
	ok
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
nobody_listens() { ! listens "$1"; }
gone() { ! kill -0 "$1" 2>/dev/null; }

# port: one that is free, below those of outgoing connections.
port() {
	local p
	while p=$((20000 + (RANDOM << 15 | RANDOM) % 12000)) && listens "$p"; do :; done
	echo "$p"
}

# start LOG COMMAND…: in the background, its process id in pid.
start() {
	local log=$1
	shift
	"$@" >"$work/$log" 2>&1 </dev/null &
	pid=$!
	pids+=("$pid")
	disown # its end is no news for the shell
}

# up FLAG…: a private cluster. leader and servers are its addresses, up_pid its process.
up() {
	"$vr" up --private --json "$@" >"$work/up.json" 2>"$work/up.log" </dev/null &
	up_pid=$!
	pids+=("$up_pid")
	disown
	until_ok 60 "the cluster is up" test -s "$work/up.json" || { tail -5 "$work/up.log"; finish "no cluster"; }
	leader=$(text viewleader <"$work/up.json")
	servers=$(sed 's/.*"servers":\[\([^]]*\)\].*/\1/; s/[",]/ /g' "$work/up.json")
	export VIEWRING_VIEWLEADER=$leader
}

# down: Ctrl-C, as a terminal sends it.
down() {
	kill -INT "$up_pid"
	until_ok 20 "up ends on Ctrl-C" gone "$up_pid"
}

# text FIELD, number FIELD: the first of that name in JSON on standard input.
text() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -1; }
number() { grep -o "\"$1\":-\{0,1\}[0-9]*" | head -1 | cut -d: -f2; }

# json: the last command's output is one valid object with version 1.
json() {
	same "version in JSON" "$(printf '%s' "$out" | number version)" 1
	command -v python3 >/dev/null || return 0
	if python3 -m json.tool <"$work/out" >/dev/null 2>&1; then ok; else miss "not JSON: $out"; fi
}

query() { "$vr" query_servers --json 2>/dev/null; }
balanced() { query | grep -q '"balanced":true'; }

# play SCRIPT FLAG…: what viewring run prints goes to played.
play() {
	local script=$1
	shift
	if "$vr" run "$here/$script" "$@" >"$work/played" 2>&1; then ok; else
		miss "$script $*"
		tail -15 "$work/played" | sed 's/^/    /'
	fi
}

nothing_left() { ! pgrep -f -- "$work"; }

# finish FIGURE: the last line, and the exit code.
finish() {
	local left
	kill_all
	until_ok 20 "nothing is left running" nothing_left || pgrep -af -- "$work"
	if [ $misses -gt 0 ]; then
		echo "figure: MISSED $misses of $checks checks; $1"
		exit 1
	fi
	echo "figure: $1; $checks checks"
	exit 0
}
