#!/usr/bin/env bash
# One rank of scripts/launch/torchrun.sh; --help says what it does.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/launch/rank.sh FOLDER SIGNALS COMMAND ...

torchrun.sh starts each rank with it, because torchrun's own exit code is 1 whatever a rank ended with. It runs COMMAND,
in which SIGNALS (such as INT,TERM) have their usual effect again, and writes
  FOLDER/RANK.pid            the process id of COMMAND, while it runs
  FOLDER/RESTARTS.RANK.code  the exit code of COMMAND; RESTARTS is how often torchrun has restarted the ranks so far
  FOLDER/over                when a restart would be wrong: COMMAND was stopped on request (75), or would end in the
                             same way again (71, 72, 73, 78)
Where FOLDER/over exists, it starts nothing. It ends with the code of COMMAND, but with 0 for 75: torchrun takes every
other code for a failure, ends the other ranks within 30 seconds, and restarts all of them if it may.
END
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
esac
if (($# < 3)); then
  usage >&2
  exit 78
fi
readonly kFolder=$1 kSignals=$2 kOver=$1/over
shift 2

[[ ! -e $kOver ]] || exit 0
env --default-signal="$kSignals,QUIT" "$@" &
rank=$!
# shellcheck disable=SC2153 # RANK is torchrun's
echo "$rank" > "$kFolder/$RANK.pid"
[[ ! -e $kOver ]] || kill -TERM "$rank" || true # asked to stop before torchrun.sh could read the process id
code=0
wait "$rank" || code=$?
rm "$kFolder/$RANK.pid"
case $code in
  71 | 72 | 73 | 75 | 78) touch "$kOver" ;;
esac
echo "$code" > "$kFolder/${TORCHELASTIC_RESTART_COUNT:-0}.$RANK.code"
((code != 75)) || code=0
exit "$code"
