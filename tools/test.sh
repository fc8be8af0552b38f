#!/usr/bin/env bash
# Runs the tests. Arguments go to pytest; without a path among them, all tests run:
#   bash tools/test.sh
#   bash tools/test.sh tests/media -x
set -u
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
paths=(tests)
for argument in "$@"; do
  if [[ -e "${argument%%::*}" ]]; then paths=(); fi
done
# Two processes, a file of tests at a time: most tests trace graphs on one core.
exec python -m pytest -c tests/pytest.ini --rootdir=. -q --durations=10 \
  --numprocesses=2 --dist=loadfile \
  ${paths[@]+"${paths[@]}"} "$@"
