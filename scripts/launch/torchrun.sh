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
PORT (29500) and PIXART (pixart) are read from the environment. torchrun comes with LibTorch; without one on PATH, that
of scripts/setup.sh is used. On one machine `pixart launch -n 8 -- train run.yaml` does the same without it.
END
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
esac
if (($# < 5)); then
  usage >&2
  exit 78
fi
readonly kMaster=$1 kNodes=$2 kNodeRank=$3 kGpus=$4
shift 4

torchrun=(torchrun)
if ! command -v torchrun > /dev/null; then # the script in .deps/venv/bin names the folder where pip wrote it
  torchrun=("$(dirname "${BASH_SOURCE[0]}")/../../.deps/venv/bin/python" -m torch.distributed.run)
fi
exec "${torchrun[@]}" --nnodes="$kNodes" --node-rank="$kNodeRank" --nproc-per-node="$kGpus" \
  --master-addr="$kMaster" --master-port="${PORT:-29500}" --no-python "${PIXART:-pixart}" "$@"
