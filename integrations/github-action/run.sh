#!/usr/bin/env bash
# Runs `vae-fidelity COMMAND` with ARGUMENTS, one a line, and writes the files for CI systems. How it ended
# is an output of the step: the files are for those that follow, also where the verdict is fail.
set -euo pipefail

case $COMMAND in
  check | inspect) ;;
  *)
    echo "::error::command is '$COMMAND': expected check or inspect"
    exit 2
    ;;
esac
given=()
while IFS= read -r line || [ -n "$line" ]; do
  line=${line%$'\r'}
  if [ -n "$line" ]; then given+=("$line"); fi
done <<<"$ARGUMENTS"
if [ ${#given[@]} = 0 ]; then
  echo '::error::arguments are empty: name pictures for check, a checkpoint for inspect'
  exit 2
fi

results=$(mktemp -d "$RUNNER_TEMP/vae-fidelity-results.XXXXXX")
code=0
vae-fidelity "$COMMAND" "--junit=$results/junit.xml" "--sarif=$results/results.sarif" "${given[@]}" ||
  code=$?
written=false
if [ -f "$results/results.sarif" ]; then written=true; fi
{
  echo "exit-code=$code"
  echo "junit=$results/junit.xml"
  echo "sarif=$results/results.sarif"
  echo "written=$written"
} >>"$GITHUB_OUTPUT"
