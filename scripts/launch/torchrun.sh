#!/usr/bin/env bash
# Starts the ranks of this machine with torchrun; --help says how.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/launch/torchrun.sh MASTER NODES NODE_RANK GPUS COMMAND ...

Run it on each machine, with the same arguments but for NODE_RANK. MASTER is the host name of the machine with
NODE_RANK 0, as the others see it; GPUS is the number of ranks on each machine; COMMAND goes to pixart. Two machines:
  scripts/launch/torchrun.sh gpu-a 2 0 8 train run.yaml    on gpu-a
  scripts/launch/torchrun.sh gpu-a 2 1 8 train run.yaml    on the other
PORT (29500) and PIXART (pixart) are read from the environment, and PIXART_RUN_TOKEN: a secret of the ranks, the same on
all machines, which keeps strangers on the network out. For one machine the script makes one. torchrun comes with
LibTorch; without one on PATH, that of scripts/setup.sh is used. On one machine `pixart launch -n 8 -- train run.yaml`
does the same without it.

SIGTERM, SIGINT (Ctrl-C), SIGUSR1 and SIGHUP to this script stop the run: the ranks of all machines save, however long
that takes, and the script ends with 75. The third signal kills the ranks of this machine. The exit code is that of the
ranks of this machine: 0 done; 75 stopped on request; 76 a rank was lost; otherwise that of the rank that failed, such
as 78 (config or input) or 74 (storage). With torchrun's variable PET_MAX_RESTARTS=3, torchrun restarts the ranks up to
three times when one is lost; a run that was stopped on request, or that would fail in the same way, is not restarted.
END
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
esac
if (($# < 5)) || [[ ! $4 =~ ^[1-9][0-9]*$ ]]; then
  usage >&2
  exit 78
fi
readonly kMaster=$1 kNodes=$2 kNodeRank=$3 kGpus=$4
shift 4
here=$(dirname "${BASH_SOURCE[0]}")
readonly here
folder=$(mktemp -d -t pixart-ranks.XXXXXX)
readonly folder
trap 'rm -rf "$folder"' EXIT

signals=()
for signal in INT TERM USR1 HUP; do # but for those that are ignored, such as HUP by nohup
  [[ -n $(trap -p "$signal") ]] || signals+=("$signal")
done
signal_list=$(IFS=, && echo "${signals[*]}")
requests=0
signal_ranks() {
  touch "$folder/over"
  for file in "$folder"/*.pid; do
    kill "-$1" "$(cat "$file" 2> /dev/null)" 2> /dev/null || true # it may have ended meanwhile
  done
}
pass_on() {
  if [[ $1 == HUP ]] && ((requests > 0)); then return; fi # closing a terminal sends several
  requests=$((requests + 1))
  if ((requests < 3)); then signal_ranks "$1"; else signal_ranks KILL; fi
}
for signal in "${signals[@]}"; do
  # shellcheck disable=SC2064 # the name of the signal is meant now
  trap "pass_on $signal" "$signal"
done

if ((kNodes == 1)) && [[ -z ${PIXART_RUN_TOKEN:-} ]]; then
  PIXART_RUN_TOKEN=$(od -v -An -N32 -tx1 /dev/urandom | tr -d ' \n')
  export PIXART_RUN_TOKEN
fi

torchrun=(torchrun)
if ! command -v torchrun > /dev/null; then # the script in .deps/venv/bin names the folder where pip wrote it
  torchrun=("$here/../../.deps/venv/bin/python" -m torch.distributed.run)
fi
# Of itself, torchrun dies of SIGUSR1 and leaves the ranks running; after the other signals it kills the ranks in
# 30 seconds. So it ignores what this script passes on, and handles only SIGQUIT.
PET_SIGNALS_TO_HANDLE=SIGQUIT env --ignore-signal="$signal_list" "${torchrun[@]}" \
  --nnodes="$kNodes" --node-rank="$kNodeRank" --nproc-per-node="$kGpus" --master-addr="$kMaster" \
  --master-port="${PORT:-29500}" --no-python "$here/rank.sh" "$folder" "$signal_list" "${PIXART:-pixart}" "$@" &
agent=$!

# Sets `agent_code`. A signal ends `wait` early, with a code above 128, while torchrun still runs.
wait_for_agent() {
  agent_code=129
  while ((agent_code > 128)) && kill -0 "$agent" 2> /dev/null; do
    agent_code=0
    wait "$agent" || agent_code=$?
  done
  agent_code=0
  wait "$agent" || agent_code=$? # bash remembers the code, should torchrun have ended just before the line with kill
}

some_rank_runs() {
  for file in "$folder"/*.pid; do
    if kill -0 "$(cat "$file" 2> /dev/null)" 2> /dev/null; then return; fi
  done
  return 1
}

latest_attempt() {
  local file attempt latest=0
  for file in "$folder"/*.code; do
    attempt=${file##*/} attempt=${attempt%%.*}
    if [[ $attempt != '*' ]] && ((attempt > latest)); then latest=$attempt; fi
  done
  echo "$latest"
}

# Prints the exit code of the run, given those of the ranks.
code_of_run() { # CODE ...
  local code failed='' lost=no stopped=no
  for code in "$@"; do
    case $code in
      0) ;;
      75) stopped=yes ;;
      # Of a signal, in its first second, while it loaded its libraries: nothing is lost.
      129 | 130 | 138 | 143) if ((requests > 0)); then echo 75 && return; else lost=yes; fi ;;
      *) if ((code == 76 || code > 128)); then lost=yes; else failed=${failed:-$code}; fi ;;
    esac
  done
  # torchrun killed a rank together with its rank.sh; after a request to stop, some may never have been started.
  if (($# > 0 && $# < kGpus && requests == 0)); then lost=yes; fi
  if [[ -n $failed ]]; then
    echo "$failed"
  elif [[ $lost == yes ]]; then
    echo 76
  elif [[ $stopped == yes ]] || (($# == 0 && requests > 0)); then
    echo 75
  else
    echo "$agent_code"
  fi
}

wait_for_agent
if ((agent_code > 128)); then # it was killed and left the ranks running
  signal_ranks TERM
  while some_rank_runs; do sleep 0.2; done
fi
mapfile -t codes < <(cat "$folder/$(latest_attempt)".*.code 2> /dev/null)
exit "$(code_of_run "${codes[@]}")"
