#!/usr/bin/env bash
# HMS on the demo's videos, over several seeds, beside its baselines: early fusion of
# sound, pictures and motion in every step, and UNIFORM, the same network on as many
# evenly spread steps as cost what HMS spends (Table 1 and Figure 3 of the paper). Ends
# with one table of means and with HMS under budgets at test time (Table 2).
#
#   bash tools/compare_hms.sh [--work_dir=comparison] [--seeds=3] [--num_videos=600]
#
# Each seed takes less than 15 minutes on two cores. Videos, data and encoders that
# tools/compare_adamml.sh has made in the same folder are used again, and the same call
# goes on where an earlier one was stopped.
set -euo pipefail

WORK=comparison
SEEDS=3
NUM_VIDEOS=600
BUDGETS=0.1,0.2,0.3,0.4,0.5,0.6
for argument in "$@"; do
  case "$argument" in
    --work_dir=?*) WORK="${argument#*=}" ;;
    --seeds=?*) SEEDS="${argument#*=}" ;;
    --num_videos=?*) NUM_VIDEOS="${argument#*=}" ;;
    *)
      echo "compare_hms.sh: unknown argument '$argument'; usage: bash" \
        "tools/compare_hms.sh [--work_dir=comparison] [--seeds=3]" \
        "[--num_videos=600]" >&2
      exit 2 ;;
  esac
done
if [[ ! "$SEEDS" =~ ^[1-9][0-9]*$ ]]; then
  echo "compare_hms.sh: --seeds=$SEEDS is no number above 0" >&2
  exit 2
fi
caller="$PWD"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
export TF_CPP_MIN_LOG_LEVEL=3
if [[ "$caller" != "$PWD" && "$WORK" != /* ]]; then WORK="$caller/$WORK"; fi

train() {  # train <data> <recipe and run>
  printf '\n== Training: %s\n' "$2"
  python -m tfmm.train --gin_file="gin_configs/demo_$2.gin" --data_dir="$run/$1" \
    --model_dir="$run/$2" --seed="$seed"
}

equal_steps() {  # the fewest steps of early fusion that cost at least what HMS spends
  python - "$run" <<'PYTHON'
import json
import math
import sys
hms, early = (json.load(open(f'{sys.argv[1]}/{name}/eval_test.json'))
              for name in ('hms', 'early_fusion'))
step = early['gflops_per_video'] / 16
print(math.ceil(hms['gflops_per_video'] / step))
PYTHON
}

runs=()
for ((seed = 0; seed < SEEDS; seed++)); do
  run="$WORK/$seed"
  printf '\n==== Seed %d of 0 to %d\n' "$seed" $((SEEDS - 1))
  python tools/make_demo_videos.py --output_dir="$run/videos" \
    --num_videos="$NUM_VIDEOS" --seed="$seed"
  python -m beam_pipelines.prepare_videos --manifest="$run/videos/manifest.csv" \
    --output_dir="$run/data" --frame_rate=10 --short_side=72 --sample_rate=8000
  for modality in audio rgb motion; do
    train data "$modality"
    printf '\n== Features: %s\n' "$modality"
    python -m beam_pipelines.extract_features --data_dir="$run/data" --steps=16 \
      --output_dir="$run/features/$modality" --encoder="run:$run/$modality/$modality"
  done
  train features hms
  train features early_fusion
  printf '\n== Evaluation\n'
  python -m tfmm.evaluate --model_dir="$run/hms" --budget_gflops="$BUDGETS" \
    --plot="$run/hms/curve.png"
  python -m tfmm.evaluate --model_dir="$run/early_fusion"
  steps="$(equal_steps)"
  printf '\n== UNIFORM: early fusion on %s of 16 steps\n' "$steps"
  python -m tfmm.evaluate --model_dir="$run/early_fusion" --output_dir="$run/uniform" \
    --gin_param="dataset.FeatureSpec.eval_segments = $steps"
  runs+=("$run/hms" "$run/uniform" "$run/early_fusion")
done
printf '\n'
python tools/report.py --average --json="$WORK/report_hms.json" "${runs[@]}"
