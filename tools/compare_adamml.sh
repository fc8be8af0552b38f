#!/usr/bin/env bash
# AdaMML's comparison (Tables 1 and 8 of the paper) on the demo's videos, over several
# seeds: RGB alone, audio alone, weighted fusion, AdaMML, the cascade in which sound
# always runs and gates RGB, random gates in training and test, and AdaMML's networks
# with random gates in test. Ends with one table of means.
#
#   bash tools/compare_adamml.sh [--work_dir=comparison] [--seeds=3] [--num_videos=600]
#
# Each seed is a run of tools/demo.sh and three rows more, less than 25 minutes on two
# cores. The same call goes on where an earlier one was stopped.
set -euo pipefail

WORK=comparison
SEEDS=3
NUM_VIDEOS=600
for argument in "$@"; do
  case "$argument" in
    --work_dir=?*) WORK="${argument#*=}" ;;
    --seeds=?*) SEEDS="${argument#*=}" ;;
    --num_videos=?*) NUM_VIDEOS="${argument#*=}" ;;
    *)
      echo "compare_adamml.sh: unknown argument '$argument'; usage: bash" \
        "tools/compare_adamml.sh [--work_dir=comparison] [--seeds=3]" \
        "[--num_videos=600]" >&2
      exit 2 ;;
  esac
done
if [[ ! "$SEEDS" =~ ^[1-9][0-9]*$ ]]; then
  echo "compare_adamml.sh: --seeds=$SEEDS is no number above 0" >&2
  exit 2
fi
caller="$PWD"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
export TF_CPP_MIN_LOG_LEVEL=3
if [[ "$caller" != "$PWD" && "$WORK" != /* ]]; then WORK="$caller/$WORK"; fi

runs=()
for ((seed = 0; seed < SEEDS; seed++)); do
  run="$WORK/$seed"
  printf '\n==== Seed %d of 0 to %d\n' "$seed" $((SEEDS - 1))
  bash tools/demo.sh --work_dir="$run" --seed="$seed" --num_videos="$NUM_VIDEOS"
  printf '\n== Training: audio first\n'
  python -m tfmm.train --gin_file=gin_configs/demo_audio_first.gin \
    --data_dir="$run/data" --model_dir="$run/audio_first" --seed="$seed" \
    --init_from="$run/rgb,$run/audio"
  python -m tfmm.evaluate --model_dir="$run/audio_first" --split=test
  printf '\n== Training: random gates\n'
  python -m tfmm.train --gin_file=gin_configs/demo_random_policy.gin \
    --data_dir="$run/data" --model_dir="$run/random_train_test" --seed="$seed" \
    --init_from="$run/rgb,$run/audio"
  python -m tfmm.evaluate --model_dir="$run/random_train_test" --split=test
  printf '\n== Evaluation: AdaMML with random gates\n'
  python -m tfmm.evaluate --model_dir="$run/adamml" --split=test \
    --gin_file=gin_configs/variants/random_test.gin --output_dir="$run/random_test"
  for method in rgb audio fusion adamml audio_first random_train_test random_test; do
    runs+=("$run/$method")
  done
done
printf '\n'
python tools/report.py --average --videos=videos --json="$WORK/report.json" \
  "${runs[@]}"
