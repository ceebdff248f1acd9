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
echo "$PIXART_RUN_TOKEN" >> tokens.log
[[ -n ${CODE:-} ]] && exit "$CODE"
trap 'echo USR1 >> signals.log; sleep 0.3; exit ${CODE_AT_USR1:-75}' USR1
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
# What reaches the ranks; then it starts GPUS of them as torchrun does, and ends with 1 if one of them fails.
stand_in torchrun << 'END'
#!/usr/bin/env bash
echo "$@" > torchrun.log
while [[ $1 != --no-python ]]; do
  [[ $1 == --nproc-per-node=* ]] && gpus=${1#*=}
  shift
done
shift
for ((rank = 0; rank < gpus; ++rank)); do RANK=$rank TORCHELASTIC_RESTART_COUNT=0 "$@" & done
failed=0
for ((rank = 0; rank < gpus; ++rank)); do wait -n || failed=1; done
exit "$failed"
END
# Rank k ends with the k-th code of $CODES; 128 + a signal's number means of that signal.
stand_in pixart << 'END'
#!/usr/bin/env bash
codes=($CODES)
code=${codes[RANK]}
[[ -e ranks.log ]] && echo "$@" >> ranks.log
echo "${PIXART_RUN_TOKEN:-}" >> tokens.log
((code <= 128)) || { kill "-$((code - 128))" $$ && sleep 9; }
exit "$code"
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
# SLURM ends the step with TERM because one rank, which still loaded its libraries, has died of USR1.
CODE_AT_USR1=143 run_until USR1
[[ $(cat scontrol.log) == "requeue 42" ]] || fail "stopped while a rank began, and not put back into the queue"
rm scontrol.log

# A rank that is killed counts as lost.
for codes in 0:0 1:1 75:75 76:76 78:78 137:76 143:76; do
  got=0
  CODE=${codes%:*} bash "$kScripts/slurm.sbatch" run.yaml || got=$?
  ((got == ${codes#*:})) || fail "the run ended with ${codes%:*}, the script with $got"
done
[[ ! -e scontrol.log ]] || fail "requeued without a request"
# Each start has a token of its own; one that is given is left alone.
is_random_token() { [[ $(sort -u tokens.log) =~ ^[0-9a-f]{64}$ ]]; }
rm tokens.log
CODE=0 bash "$kScripts/slurm.sbatch" run.yaml
is_random_token || fail "the ranks of SLURM got the token $(cat tokens.log)"
CODE=0 bash "$kScripts/slurm.sbatch" run.yaml
[[ $(sort -u tokens.log | wc -l) == 2 ]] || fail "two starts with one token: $(cat tokens.log)"
rm tokens.log
PIXART_RUN_TOKEN=given CODE=0 bash "$kScripts/slurm.sbatch" run.yaml
[[ $(cat tokens.log) == given ]] || fail "a given token became $(cat tokens.log)"
got=0
bash "$kScripts/slurm.sbatch" 2> usage.log || got=$?
((got == 78)) && grep -q Usage usage.log || fail "no usage"

want="--nnodes=2 --node-rank=1 --nproc-per-node=8 --master-addr=gpu-a --master-port=29500 --no-python"
check_torchrun() { # PATH SCRIPT WHAT_PYTHON_GETS
  rm -f ranks.log && touch ranks.log
  PATH=$1 CODES="0 0 0 0 0 0 0 0" "$2" gpu-a 2 1 8 train run.yaml --set "name=two words"
  [[ $(cat torchrun.log) == "$3$want"* ]] || fail "torchrun got: $(cat torchrun.log)"
  [[ $(sort ranks.log | uniq -c) == *" 8 train run.yaml --set name=two words" ]] || fail "the ranks got: $(cat ranks.log)"
}
check_torchrun "$PATH" "$kScripts/torchrun.sh" ""
# Without one on PATH, that of scripts/setup.sh, by its Python.
mkdir -p copy/scripts copy/.deps/venv/bin plain
cp -r "$kScripts" copy/scripts/launch
for tool in bash cat dirname env mktemp rm sed sleep touch; do ln -s "$(command -v "$tool")" "plain/$tool"; done
cp bin/pixart plain
mv bin/torchrun copy/.deps/venv/bin/python
check_torchrun "$folder/plain" copy/scripts/launch/torchrun.sh "-m torch.distributed.run "
mv copy/.deps/venv/bin/python bin/torchrun

# All ranks of one machine get one token. Several machines would make several, so none is made there.
rm tokens.log
CODES="0 0" "$kScripts/torchrun.sh" gpu-a 1 0 2 train
is_random_token && [[ $(wc -l < tokens.log) == 2 ]] || fail "the ranks of one machine got the tokens $(cat tokens.log)"
rm tokens.log
CODES="0 0" "$kScripts/torchrun.sh" gpu-a 2 0 2 train
[[ -z $(sort -u tokens.log) ]] || fail "the ranks of two machines got the tokens $(cat tokens.log)"

# The codes of two ranks, and that of the script: a cause comes before its effects on the other ranks.
rm ranks.log
while read -r first second want; do
  got=0
  CODES="$first $second" "$kScripts/torchrun.sh" gpu-a 1 0 2 train 2> errors.log || got=$?
  ((got == want)) || fail "ranks that ended with $first and $second: $got, not $want; $(cat errors.log)"
done << 'END'
0 0 0
75 75 75
0 75 75
76 75 76
76 76 76
76 78 78
74 76 74
71 71 71
76 137 76
143 76 76
137 1 1
END
got=0
PIXART=nothing "$kScripts/torchrun.sh" gpu-a 1 0 2 train 2> errors.log || got=$?
((got == 127)) || fail "no program: exit code $got"
stand_in torchrun <<< 'exit 2'
got=0
"$kScripts/torchrun.sh" gpu-a 1 0 2 train 2> errors.log || got=$?
((got == 2)) || fail "torchrun failed with 2 before it started ranks, the script with $got"
for arguments in "gpu-a 2" "gpu-a 2 0 all train run.yaml"; do
  got=0
  # shellcheck disable=SC2086 # they are several
  bash "$kScripts/torchrun.sh" $arguments 2> usage.log || got=$?
  ((got == 78)) && grep -q "Usage: scripts/launch/torchrun.sh" usage.log || fail "no usage"
done
