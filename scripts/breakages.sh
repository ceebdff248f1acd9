#!/usr/bin/env bash
# Proves that the tests can fail; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kExitBadInput=78

usage() {
  cat <<'END'
Usage: scripts/breakages.sh [--list] [--here] [NAME ...]

Applies each of tests/breakages/*.sed (or the named ones) to a copy of this tree, one at a time, builds the tests named
in it and demands that at least one fails. The copy and its build folder are in build/breakages; they are kept, so that a
second start compiles only changed files. The last line is "N caught, N missed"; the exit code is 0 only if every
breakage was caught.
  --list   only list the breakages
  --here   break this tree instead of a copy, and mend it again: faster, but nothing else may use the tree meanwhile

Examples:
  scripts/breakages.sh --list
  scripts/breakages.sh --here drop-file-fsync prune-before-commit
END
}

field() { sed -n "s/^# $2: //p" "tests/breakages/$1.sed"; }

# copy_tree FOLDER: unchanged files keep their times, so that only changed ones are compiled again.
copy_tree() {
  local file
  while IFS= read -r -d '' file; do
    cmp -s "$file" "$1/$file" && continue
    mkdir -p "$1/$(dirname "$file")"
    cp "$file" "$1/$file"
  done < <(git ls-files -co --exclude-standard -z)
  [ ! -e .deps ] || ln -sfn "$PWD/.deps" "$1/.deps"
}

# is_noticed TREE LOG TEST ...: builds and runs the tests; returns 2 if they do not compile.
is_noticed() {
  local tree=$1 log=$2 test
  shift 2
  (cd "$tree" && scripts/build.sh release "$@") >"$log" 2>&1 || return 2
  for test in "$@"; do
    if ! ctest --test-dir "$tree/build/release" --no-tests=error --timeout 300 -R "^$test\$" >>"$log" 2>&1; then
      echo "  noticed by $test"
      return 0
    fi
  done
  return 1
}

# The file that is broken now and its original, for mend().
broken='' whole=$(mktemp)
mend() {
  [ -z "$broken" ] || cp "$whole" "$broken"
  broken=''
}
trap 'mend; rm -f "$whole"' EXIT

# try NAME TREE: returns 0 if its tests noticed the breakage.
try() {
  local name=$1 tree=$2 file tests=() status=0
  local log=$tree/build/breakage-$name.log
  file=$tree/$(field "$name" file)
  read -ra tests <<<"$(field "$name" tests)"
  cp "$file" "$whole"
  broken=$file
  sed -E -f "tests/breakages/$name.sed" "$whole" >"$file"
  if cmp -s "$file" "$whole"; then
    echo "  it changes nothing in $file: update it"
    return 1
  fi
  is_noticed "$tree" "$log" "${tests[@]}" || status=$?
  [ "$status" != 2 ] || echo "  it does not compile; see $log"
  [ "$status" != 1 ] || echo "  NOT noticed by ${tests[*]}; see $log"
  mend
  return "$status"
}

main() {
  local tree=build/breakages list=false names=() name
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) usage && return ;;
      --list) list=true ;;
      --here) tree=. ;;
      -*) echo "breakages: unknown option '$1'; see scripts/breakages.sh --help." >&2 && exit "$kExitBadInput" ;;
      *) names+=("$1") ;;
    esac
    shift
  done
  [ "${#names[@]}" -gt 0 ] || mapfile -t names < <(basename -s .sed tests/breakages/*.sed)
  for name in "${names[@]}"; do
    if [ ! -f "tests/breakages/$name.sed" ]; then
      echo "breakages: tests/breakages/$name.sed does not exist; see --list." >&2
      exit "$kExitBadInput"
    fi
    ! $list || printf '%-28s %s\n' "$name" "$(field "$name" breaks)"
  done
  ! $list || return 0
  [ "$tree" = . ] || copy_tree "$tree"
  mkdir -p "$tree/build"
  local caught=0 missed=()
  for name in "${names[@]}"; do
    echo "$name: $(field "$name" breaks)"
    if try "$name" "$tree"; then
      caught=$((caught + 1))
    else
      mend
      missed+=("$name")
    fi
  done
  [ "${#missed[@]}" = 0 ] || echo "missed: ${missed[*]}"
  echo "$caught caught, ${#missed[@]} missed"
  [ "${#missed[@]}" = 0 ]
}

main "$@"
