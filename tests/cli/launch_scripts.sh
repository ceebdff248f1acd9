#!/usr/bin/env bash
# scripts/launch with stand-ins for srun, scontrol and torchrun.   launch_scripts.sh SOURCE_DIR
set -euo pipefail
readonly kScripts=$1/scripts/launch
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir bin
export PATH=$folder/bin:$PATH SLURM_JOB_ID=42

fail() {
  echo "launch_scripts: $*" >&2
  exit 1
}
stand_in() {
  cat > "bin/$1"
  chmod +x "bin/$1"
}

stand_in scontrol << 'END'
#!/usr/bin/env bash
echo "$@" >> scontrol.log
END
# Runs until a signal comes, saves a while, ends as a stopped run does; or ends with $CODE at once.
stand_in srun << 'END'
#!/usr/bin/env bash
echo "$@" > srun.log
[[ -n ${CODE:-} ]] && exit "$CODE"
trap 'echo USR1 >> signals.log; sleep 0.3; exit 75' USR1
trap 'echo TERM >> signals.log; sleep 0.3; exit 75' TERM
touch srun.ready
while :; do sleep 0.02; done
END
# Dies of the signal when it comes while libraries are loaded.
stand_in young_srun << 'END'
#!/usr/bin/env bash
echo "$@" > srun.log
touch srun.ready
exec sleep 60
END
stand_in torchrun << 'END'
#!/usr/bin/env bash
echo "$@"
END

run_until() { # signal
  rm -f srun.ready signals.log scontrol.log
  bash "$kScripts/slurm.sbatch" run.yaml --set seed=1 &
  local job=$! code=0
  for _ in {1..1000}; do
    [[ -e srun.ready ]] && break
    sleep 0.02
  done
  sleep 0.1 # until the script has set its traps, which it does right after starting srun
  kill "-$1" "$job"
  wait "$job" || code=$?
  ((code == 75)) || fail "$1: exit code $code"
}
was_passed_on() { [[ $(cat signals.log) == "$1" ]] || fail "$1 was not passed on: $(cat signals.log)"; }

run_until USR1
was_passed_on USR1
[[ $(cat scontrol.log) == "requeue 42" ]] || fail "not put back into the queue"
grep -q -- "--kill-on-bad-exit=1 pixart train run.yaml --set seed=1" srun.log || fail "srun got: $(cat srun.log)"
run_until TERM
was_passed_on TERM
[[ ! -e scontrol.log ]] || fail "a cancelled job came back"

mv bin/srun bin/old_srun && mv bin/young_srun bin/srun
run_until USR1
[[ $(cat scontrol.log) == "requeue 42" ]] || fail "stopped before it began, and not put back into the queue"
run_until TERM
[[ ! -e scontrol.log ]] || fail "a cancelled job came back"
mv bin/old_srun bin/srun

for code in 0 1 75 78 137 143; do
  got=0
  CODE=$code bash "$kScripts/slurm.sbatch" run.yaml || got=$?
  ((got == code)) || fail "the run ended with $code, the script with $got"
done
[[ ! -e scontrol.log ]] || fail "requeued without a request"
got=0
bash "$kScripts/slurm.sbatch" 2> usage.log || got=$?
((got == 78)) && grep -q Usage usage.log || fail "no usage"

got=$(bash "$kScripts/torchrun.sh" gpu-a 2 1 8 train run.yaml --set seed=1)
want="--nnodes=2 --node-rank=1 --nproc-per-node=8 --master-addr=gpu-a --master-port=29500 --no-python pixart train run.yaml --set seed=1"
[[ $got == "$want" ]] || fail "torchrun got: $got"
# Without one on PATH, that of scripts/setup.sh, by its Python.
mkdir -p copy/scripts copy/.deps/venv/bin plain
cp -r "$kScripts" copy/scripts/launch
for tool in bash dirname env; do ln -s "$(command -v "$tool")" "plain/$tool"; done
mv bin/torchrun copy/.deps/venv/bin/python
got=$(PATH=$folder/plain copy/scripts/launch/torchrun.sh gpu-a 2 1 8 train run.yaml --set seed=1)
[[ $got == "-m torch.distributed.run $want" ]] || fail "the torchrun of .deps got: $got"
got=0
bash "$kScripts/torchrun.sh" gpu-a 2> usage.log || got=$?
((got == 78)) && grep -q "Usage: scripts/launch/torchrun.sh" usage.log || fail "no usage"
