#!/usr/bin/env bash
# torchrun of torch 2.11.0: what a program sees of it that saves when it is asked to stop, and ends with a code that says so.
# It needs no file of this project. It takes a minute, 30 seconds of which torchrun waits.   findings/torchrun-exit-codes.sh
#   PYTHON=FILE  a Python with torch 2.11.0; without it, torch is installed from PyPI into a temporary folder (4.6 GB)
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
set -euo pipefail

readonly kTorch=2.11.0
folder=$(mktemp -d)
end() {
  local file
  for file in "$folder"/pid.*; do kill -KILL "$(cat "$file" 2> /dev/null)" 2> /dev/null || true; done
  rm -rf "$folder"
}
trap end EXIT

python=${PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --progress-bar off "torch==$kTorch"
fi
version=$("$python" -c 'import importlib.metadata as m; print(m.version("torch").partition("+")[0])')
if [ "$version" != "$kTorch" ]; then
  echo "$python has torch $version, not $kTorch" >&2
  exit 78
fi
echo "torch $version, $("$python" -V)"
cd "$folder"

cat > worker.sh << 'END'
echo "$RANK" >> starts
[ "$1" = save ] || { sleep 1 && exit "$1"; }
trap 'echo TERM >> signals; sleep "$SAVE_SECONDS"; touch "saved.$RANK"; exit 0' TERM
trap 'echo USR1 >> signals; sleep "$SAVE_SECONDS"; touch "saved.$RANK"; exit 0' USR1
echo $$ > "pid.$RANK"
while :; do sleep 0.1; done
END
begin() { # ARGUMENT OPTION_OF_TORCHRUN ...
  local argument=$1
  shift
  rm -f starts signals saved.* pid.*
  "$python" -m torch.distributed.run --nproc-per-node=2 --master-port="${PORT:-29577}" "$@" \
    --no-python bash worker.sh "$argument" > log 2>&1 &
  torchrun=$!
}
send() { # SIGNAL, when both workers run
  until [ -s pid.0 ] && [ -s pid.1 ]; do
    kill -0 "$torchrun" || { cat log >&2 && exit 1; }
    sleep 0.1
  done
  kill "-$1" "$torchrun"
}
differs=0
saw() { # WHAT SEEN EXPECTED
  echo "$1: $2"
  [ "$2" = "$3" ] || { echo "  expected: $3" && differs=1; }
}
ends_with() { # WHAT EXPECTED
  local code=0
  wait "$torchrun" 2> /dev/null || code=$?
  saw "$1; torchrun ends with" "$code" "$2"
}

begin 75
ends_with "both workers end with 75" 1
begin 75 --max-restarts=1
ends_with "the same with --max-restarts=1" 1
saw "  starts of workers" "$(grep -c . starts)" 4
export SAVE_SECONDS=0.2
begin save
send TERM
ends_with "SIGTERM to torchrun, both workers save and end with 0" 1
saw "  workers that saved" "$(find . -name 'saved.*' | grep -c .)" 2
begin save --signals-to-handle=SIGTERM,SIGUSR1
send USR1
ends_with "SIGUSR1 with --signals-to-handle=SIGTERM,SIGUSR1, the same" 1
saw "  signals that the workers got" "$(sort -u signals)" USR1
begin save
send USR1
ends_with "SIGUSR1 without that option" 138
sleep 2
running=0
for rank in 0 1; do kill -0 "$(cat "pid.$rank")" 2> /dev/null && running=$((running + 1)); done
saw "  workers that still run two seconds later" "$running" 2
saw "  signals that they got" "$(cat signals 2> /dev/null)" ""
for rank in 0 1; do kill -KILL "$(cat "pid.$rank")"; done
export SAVE_SECONDS=60
begin save
send TERM
start=$SECONDS
ends_with "SIGTERM to torchrun, workers need 60 s to save" 1
seconds=$((SECONDS - start))
saw "  between 29 and 39 seconds after the signal" "$( ((seconds >= 29 && seconds <= 39)) && echo yes || echo "$seconds")" yes
saw "  workers that saved" "$(find . -name 'saved.*' | grep -c . || true)" 0
exit "$differs"
