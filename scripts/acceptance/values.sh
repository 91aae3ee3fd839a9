#!/usr/bin/env bash
# Values of 0 bytes to 16 MiB and one more, names of any bytes.
. "$(dirname "$0")/lib.sh"
up
put() { # FILE NAME: through a pipe; three copies of 16 MiB take long on a busy disk
	timeout 150 "$vr" --timeout 2m setr "$2" - <"$1" >"$work/out" 2>"$work/err"
	code=$? out='' err=$(cat "$work/err")
}
# roundtrip FILE: written through a pipe, read back from every server's side.
roundtrip() {
	put "$1" "value"
	same "setr of $(wc -c <"$1") bytes (it says \"$err\")" "$code" 0
	"$vr" --timeout 2m getr value >"$work/back" 2>/dev/null
	same_file "getr" "$work/back" "$1"
}
: >"$work/empty"
head -c 1 /dev/zero >"$work/zero"
head -c 1048576 /dev/urandom >"$work/mib"
head -c 16777216 /dev/urandom >"$work/limit"
head -c 16777217 /dev/urandom >"$work/over"
printf -- '-5\n' >"$work/dash"
for f in empty zero mib dash limit; do roundtrip "$work/$f"; done
put "$work/over" value
same "exit code of setr over the limit" "$code" 4
says "too large"
says 16777216
"$vr" getr value >"$work/back"
same_file "the value before" "$work/back" "$work/limit"
exits 1 "$vr" getr nobody
says "not found"
for v in "" - -5 --json --help -- "two words" $'line\nbreak\n'; do
	[ "$v" = - ] && continue # reads standard input
	case $v in
	--*) exits 0 "$vr" setr argument -- "$v" ;; # flags may stand there
	*) exits 0 "$vr" setr argument "$v" ;;
	esac
	"$vr" getr argument >"$work/back"
	printf %s "$v" >"$work/want"
	same_file "setr argument '$v'" "$work/back" "$work/want"
done

names=("two words" $'line\nbreak' $'\xff\xfe\x01' "größe" "{tag}x" "-dash" '"quoted"' 'back\slash' "$(printf 'n%.0s' $(seq 1000))")
shown=('"two words"' '"line\nbreak"' '"\xff\xfe\x01"' "größe" "{tag}x" "-dash" '\"quoted\"' 'back\' "nnnn")
for n in "${names[@]}"; do
	case $n in
	-*) exits 0 "$vr" setr -- "$n" "value of it" ;;
	*) exits 0 "$vr" setr "$n" "value of it" ;;
	esac
	exits 0 "$vr" getr --json -- "$n"
	json
	same "name in JSON" "$(text name <<<"$out" | base64 -d | od -c)" "$(printf %s "$n" | od -c)"
	same "value in JSON" "$(text value <<<"$out" | base64 -d)" "value of it"
done
exits 0 "$vr" query_all_keys --server s1
for s in "${shown[@]}"; do says "$s"; done
printf %s "$out" | LC_ALL=C grep -q $'\xff' && miss "query_all_keys prints raw bytes"
exits 0 "$vr" query_all_keys --server s1 --json
json
says "$(printf '\xff\xfe\x01' | base64)"
exits 4 "$vr" setr "" x
says empty
head -c 65537 /dev/zero | tr '\0' n >"$work/long"
exits 4 "$vr" setr "$(cat "$work/long")" x
says "too l"
exits 0 "$vr" setr "$(head -c 65536 "$work/long")" x
for n in "${names[@]}"; do exits 0 "$vr" delr -- "$n"; done
finish "0 B, 1 MiB and 16 MiB random came back byte for byte, 16 MiB + 1 B refused; ${#names[@]} odd names"
