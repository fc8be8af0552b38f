#!/usr/bin/env bash
# From nothing to a served decision: makes videos, prepares them with Beam, trains RGB
# alone, audio alone, their weighted fusion and AdaMML, evaluates each, exports AdaMML,
# predicts on three test videos and ends with one table.
#
#   bash tools/demo.sh [--work_dir=demo_run] [--seed=0] [--num_videos=600]
#
# The same call goes on where an earlier one was stopped. For several seeds give each
# its own folder, then put them together:
#
#   for s in 0 1 2; do bash tools/demo.sh --work_dir=demo_run/$s --seed=$s; done
#   .venv/bin/python tools/report.py --average --videos=videos \
#     demo_run/[012]/{rgb,audio,fusion,adamml}
set -euo pipefail

WORK=demo_run
SEED=0
NUM_VIDEOS=600
for argument in "$@"; do
  case "$argument" in
    --work_dir=?*) WORK="${argument#*=}" ;;
    --seed=?*) SEED="${argument#*=}" ;;
    --num_videos=?*) NUM_VIDEOS="${argument#*=}" ;;
    *)
      echo "demo.sh: unknown argument '$argument'; usage: bash tools/demo.sh" \
        "[--work_dir=demo_run] [--seed=0] [--num_videos=600]" >&2
      exit 2 ;;
  esac
done
caller="$PWD"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
SECONDS=0  # installation apart
# TensorFlow 2.15 says three times that CUDA plugins were registered twice.
export TF_CPP_MIN_LOG_LEVEL=3
# A relative folder is relative to where the call was made.
if [[ "$caller" != "$PWD" && "$WORK" != /* ]]; then WORK="$caller/$WORK"; fi

step() {  # step <what it is> <command...>
  local title="$1" start=$SECONDS
  shift
  printf '\n== %s\n' "$title"
  "$@" || {
    echo "demo.sh: '$title' failed; the same call goes on from here" >&2
    exit 1
  }
  printf -- '-- %d s\n' $((SECONDS - start))
}

train() {  # train <recipe> [more flags]
  local name="$1"
  shift
  python -m tfmm.train --gin_file="gin_configs/demo_$name.gin" \
    --data_dir="$WORK/data" --model_dir="$WORK/$name" --seed="$SEED" "$@"
}

evaluate() {
  local name
  for name in "$@"; do
    python -m tfmm.evaluate --model_dir="$WORK/$name" --split=test || return
  done
}

export_once() {  # a second call would write a second version of the same
  local made
  made="$(find "$WORK/saved_model" -name saved_model.pb \
    -newer "$WORK/adamml/COMPLETED" 2>/dev/null || true)"
  if [[ -n "$made" ]]; then
    echo "$WORK/saved_model is there already"
  else
    python -m tfmm.export_model --model_dir="$WORK/adamml" \
      --output_dir="$WORK/saved_model"
  fi
}

predict_three() {
  local videos
  mapfile -t videos < <(awk -F, -v d="$WORK/videos/" \
    '$3 == "test" && n++ < 3 { print d $1 }' "$WORK/videos/manifest.csv")
  python -m tfmm.predict --saved_model="$WORK/saved_model" "${videos[@]}"
}

step 'Videos' python tools/make_demo_videos.py --output_dir="$WORK/videos" \
  --num_videos="$NUM_VIDEOS" --seed="$SEED"
step 'Beam: TFRecords' python -m beam_pipelines.prepare_videos \
  --manifest="$WORK/videos/manifest.csv" --output_dir="$WORK/data" \
  --frame_rate=10 --short_side=72 --sample_rate=8000
step 'Training: RGB alone' train rgb
step 'Training: audio alone' train audio
step 'Training: weighted fusion' train fusion --init_from="$WORK/rgb,$WORK/audio"
step 'Training: AdaMML' train adamml --init_from="$WORK/rgb,$WORK/audio"
step 'Evaluation' evaluate rgb audio fusion adamml
step 'Export' export_once
step 'Prediction' predict_three
printf '\n'
python tools/report.py --videos="$WORK/videos" --json="$WORK/report.json" \
  "$WORK/rgb" "$WORK/audio" "$WORK/fusion" "$WORK/adamml"
printf '\n%d min %d s in all. The same as JSON: %s\n' \
  $((SECONDS / 60)) $((SECONDS % 60)) "$WORK/report.json"
