#!/usr/bin/env bash
# Shows that no test depends on luck or load: runs the tests N times while two busy loops per core run beside them.
#
#   tools/repeat-under-load.sh             10 times `make test`
#   tools/repeat-under-load.sh 3           3 times
#   tools/repeat-under-load.sh 5 .local/bin/flashsale with-servers -- go test -race -count=1 ./test/races
#
# It prints a line for each run, with its seconds; the output is in .local/repeat/run-N.log. It always ends its busy
# loops, and exits with 1 if a run failed.
set -uo pipefail
cd "$(dirname "$0")/.."

runs=${1:-10}
[[ $# -gt 0 ]] && shift
command=("$@")
# -count=1: a cached result would prove nothing.
[[ $# -eq 0 ]] && command=(env GOFLAGS="${GOFLAGS:-} -count=1" make test)

loops=()
end_loops() { kill "${loops[@]}" 2>/dev/null; wait "${loops[@]}" 2>/dev/null; loops=(); }
trap end_loops EXIT
trap 'exit 130' INT TERM HUP
for ((i = 0; i < 2 * $(nproc); i++)); do
  (trap - EXIT INT TERM HUP; while kill -0 $$ 2>/dev/null; do for ((n = 0; n < 100000; n++)); do :; done; done) &
  loops+=($!)
done

logs=.local/repeat
mkdir -p "$logs"
failed=0
for ((run = 1; run <= runs; run++)); do
  began=$SECONDS
  if "${command[@]}" >"$logs/run-$run.log" 2>&1; then
    result=passed
  else
    result="FAILED: $(grep -hE '^\s*--- FAIL|^FAIL|^panic|DATA RACE' "$logs/run-$run.log" | head -3 | tr '\n' ';')"
    failed=1
  fi
  echo "run $run of $runs: $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg), $result"
done
exit $failed
