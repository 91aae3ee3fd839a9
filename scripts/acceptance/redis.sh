#!/usr/bin/env bash
# redis-cli -c SET, GET and DEL through each server, whoever has the key.
. "$(dirname "$0")/lib.sh"
command -v redis-cli >/dev/null || { echo "figure: skipped, no redis-cli here (Debian: redis-tools)"; exit 0; }
up --servers 4
moved=0 asked=0
for a in $servers; do
	p=${a##*:}
	redis() { timeout 20 redis-cli -c -p "$p" "$@" 2>&1; }
	for i in 1 2 3 4 5 6 7 8; do
		k="key $i at $p"
		case $(timeout 20 redis-cli -p "$p" GET "$k" 2>&1) in *MOVED*) moved=$((moved + 1)) ;; esac
		asked=$((asked + 1))
		same "SET" "$(redis SET "$k" "value $i")" OK
		same "GET" "$(redis GET "$k")" "value $i"
		exits 0 "$vr" getr "$k"
		same "getr of what redis-cli set" "$out" "value $i"
		exits 0 "$vr" setr "$k" "again $i"
		same "GET of what setr set" "$(redis GET "$k")" "again $i"
		same "DEL" "$(redis DEL "$k")" 1
		same "GET after DEL" "$(redis GET "$k")" ""
		same "DEL of what is gone" "$(redis DEL "$k")" 0
	done
	same "PING" "$(redis PING)" PONG
	head -c 1048576 /dev/urandom >"$work/mib"
	same "SET of 1 MiB" "$(redis -x SET large <"$work/mib")" OK
	"$vr" getr large >"$work/back"
	same_file "getr of it" "$work/back" "$work/mib"
	case $(redis NONSENSE) in *ERR*unknown*) ok ;; *) miss "an unknown command: $(redis NONSENSE)" ;; esac
done
if [ $moved -gt 0 ] && [ $moved -lt $asked ]; then ok; else miss "$moved of $asked keys were moved"; fi
down
finish "SET, GET, DEL through each of 4 servers; $moved of $asked keys were elsewhere and followed"
