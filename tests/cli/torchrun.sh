#!/usr/bin/env bash
# scripts/launch/torchrun.sh with the real torchrun, where there is one: signals, exit codes, restarts, and a run of two
# ranks that is stopped and continued.   torchrun.sh SOURCE_DIR PIXART [PYTHON]
set -euo pipefail
source=$(cd "$1" && pwd)
pixart=$(realpath "$2")
python=${3:-$source/.deps/venv/bin/python}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
  echo "torchrun: $*" >&2
  for log in *.log; do echo "--- $log" && tail -n 30 "$log"; done >&2
  exit 1
}
if ! "$python" -c 'import torch.distributed.run' 2> /dev/null; then
  echo "torchrun: $python has none; nothing was tested"
  exit 77
fi
mkdir bin
printf '#!/usr/bin/env bash\nexec "%s" -m torch.distributed.run "$@"\n' "$python" > bin/torchrun
chmod +x bin/torchrun
export PATH=$folder/bin:$PATH TMPDIR=$folder
# Two runs of this test at the same time need two ports.
PORT=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export PORT

two_ranks() { "$source/scripts/launch/torchrun.sh" 127.0.0.1 1 0 2 "$@"; }
# Signals that the shell ignores in what it starts in the background have their usual effect.
start() {
  env --default-signal=INT,HUP "$source/scripts/launch/torchrun.sh" 127.0.0.1 1 0 2 "$@" > run.log 2>&1 &
  launcher=$!
}
wait_for() { # FILE ...
  for file in "$@"; do
    for _ in {1..6000}; do
      [[ -e $file ]] && break
      kill -0 "$launcher" 2> /dev/null || fail "ended before there was $file"
      sleep 0.02
    done
    [[ -e $file ]] || fail "there is still no $file"
  done
}
expect() { # CODE
  local code=0
  wait "$launcher" || code=$?
  ((code == $1)) || fail "exit code $code, not $1"
}

# Notes its start, and then does what $ACT says.
cat > bin/stand_in << 'END'
#!/usr/bin/env bash
echo "$RANK" >> starts
case $ACT in
  wait)
    for signal in HUP INT TERM USR1; do trap "echo $signal >> signals.$RANK; sleep 0.5; exit 75" "$signal"; done
    touch "ready.$RANK"
    while :; do sleep 0.05; done ;;
  hang)
    trap '' TERM
    touch "ready.$RANK"
    while :; do sleep 0.05; done ;;
  user_error)
    ((RANK == 0)) && exit 78
    sleep 20 ;;
  die_once)
    ((TORCHELASTIC_RESTART_COUNT == 0 && RANK == 1)) && kill -KILL $$
    ((TORCHELASTIC_RESTART_COUNT == 0)) && sleep 20
    exit 0 ;;
esac
END
chmod +x bin/stand_in
begin() { # ACT
  rm -f starts ready.* signals.*
  export ACT=$1 PIXART=$folder/bin/stand_in
  start train
}
starts() { sort starts | tr '\n' ' '; }

# A signal to the script, or to all processes of it as SLURM sends it: each rank hears it, saves, and nobody restarts.
for signal in USR1 INT; do
  PET_MAX_RESTARTS=2 begin wait
  wait_for ready.0 ready.1
  agent=$(pgrep -P "$launcher" -f torch.distributed.run)
  kill "-$signal" "$agent" "$launcher"
  expect 75
  [[ $(sort -u signals.0 signals.1) == "$signal" ]] || fail "$signal: the ranks got $(cat signals.?)"
  [[ $(starts) == "0 1 " ]] || fail "stopped on request, and started again: $(starts)"
done

# The third signal kills ranks that do not end.
begin hang
wait_for ready.0 ready.1
for _ in 1 2 3; do kill -TERM "$launcher" && sleep 0.3; done
expect 76

# Only what a restart can mend is restarted.
PET_MAX_RESTARTS=2 begin user_error
expect 78
[[ $(grep -c 0 starts) == 1 ]] || fail "restarted after a user error: $(starts)"
PET_MAX_RESTARTS=1 begin die_once
expect 0
[[ $(starts) == "0 0 1 1 " ]] || fail "not restarted after a rank was lost: $(starts)"

# torchrun is killed: its ranks are asked to stop.
begin wait
wait_for ready.0 ready.1
kill -KILL "$(pgrep -P "$launcher" -f torch.distributed.run)"
expect 75
[[ $(sort -u signals.0 signals.1) == TERM ]] || fail "ranks without torchrun got $(cat signals.?)"

# A run of pixart.
export PIXART=$pixart OMP_NUM_THREADS=1
cat > run.yaml << 'END'
run: run
device: cpu
threads: 1
autoencoder: {block_out_channels: [8, 8, 16], layers_per_block: 1, norm_num_groups: 4}
sources: [{name: scenes, type: scenes, count: 48}]
stages:
  - {name: autoencoder, objective: autoencoder, source: scenes, resolution: 32, steps: 400, batch_size: 8,
     ema_decay: 0, checkpoints: {every: 20}}
END
start train run.yaml
wait_for run/checkpoints/autoencoder/step-00000020/manifest.json
kill -USR1 "$launcher"
expect 75
[[ ! -e run/checkpoints/autoencoder/step-00000400 ]] || fail "it was not stopped"
two_ranks train run.yaml > run.log 2>&1 || fail "not continued: exit code $?"
grep -q "stage autoencoder: continues at step" run/logs/rank-1.log || fail "not continued, but begun again"
[[ -e run/checkpoints/autoencoder/step-00000400/manifest.json ]] || fail "it did not come to its end"
compgen -G "pixart-ranks.*" && fail "folders are left"
echo "torchrun: stopped at $(grep -o 'continues at step.*' run/logs/rank-1.log), then done"
