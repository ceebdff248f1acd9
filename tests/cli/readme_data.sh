#!/usr/bin/env bash
# Runs the commands of README.md, section Data, as they stand there. Usage: readme_data.sh SOURCE_DIR PIXART
set -euo pipefail
source_dir=$1
pixart=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/bin"
ln -s "$pixart" "$folder/bin/pixart"
ln -s "$source_dir/configs" "$folder/configs"
awk '/tested by tests\/cli\/readme_data.sh/ { found = 1 } found && /^```$/ { exit } found && started { print } found && /^```sh$/ { started = 1 }' \
  "$source_dir/README.md" >"$folder/commands.sh"
grep -q 'pixart extract' "$folder/commands.sh" || { echo "README.md has no such commands"; exit 1; }
for needed in /usr/share/tuxpaint/stamps /usr/share/datasets/fashion-mnist; do
  [ -d "$needed" ] || { echo "$needed is missing: scripts/setup.sh installs it"; exit 1; }
done
cd "$folder"
PATH="$folder/bin:$PATH" bash -euo pipefail commands.sh
for made in stamps.html shards/pack.json runs/data/features/stamps-latents-32/manifest.json \
  runs/data/features/fashion-captions/manifest.json runs/data/quarantine/stamps.jsonl \
  runs/data/checkpoints/text/step-00000044/manifest.json; do
  [ -s "$made" ] || { echo "the commands did not make $made"; exit 1; }
done
[ "$(wc -l <runs/data/quarantine/stamps.jsonl)" -eq 11 ] || { echo "the quarantine should name 11 stamps"; exit 1; }
