#!/usr/bin/env bash
# Train, prove and export the published ResNet18: one command on a CUDA machine.
#
#   tests/benchmarks/published_weights/train.sh HAM10000/ IMAGES/ RUN/ hub/resnet18.dermssl_ham10000 [options of dermssl pretrain]
#
# HAM10000/ has the labels for the evaluation; pretraining is on IMAGES/, without labels: HAM10000/ itself, or a folder
# that holds it and the further images of ISIC. Without options: 128 px, 400 epochs, batch 512, about ten thousand steps.
# On two CPU cores (AdamW's rate of 0.001 is for the batch that --lr-batch names): FINETUNE_EPOCHS=3 before it, and
#   --epochs 30 --image-size 64 --batch-size 128 --lr-batch 128 --queue-size 1024 --rotation-weight 0.5 --momentum 0.99 \
#   --brightness 0.2 --contrast 0.2 --saturation 0.2 --hue 0.05 --grayscale 0.1
# PEERS="moco rotation simclr byol pirl" before it trains these methods too, by the same options, into RUN-peers/.
# Stopped anywhere, the same command goes on. Each evaluation is done for the random backbone and the peers as well.
set -euo pipefail
ham=$1 images=$2 run=${3%/} published=${4%/}
shift 4

for method in rotinstdisc ${PEERS:-}; do
  output=$run
  [ "$method" = rotinstdisc ] || output=$run-peers/$method
  dermssl pretrain "$images" --output "$output" --method "$method" --recipe short --epochs 400 --image-size 128 \
    --batch-size 512 --lr-batch 512 --queue-size 8192 --rotation-weight 0.1 "$@"
done

read -r untrained size < <(python -c 'import json, sys
config = json.load(open(sys.argv[1]))
print("random:" + config["architecture"], config["pretrained_cfg"]["input_size"][-1])' "$run/backbone/config.json")
all=("$run" "$untrained")
for method in ${PEERS:-}; do all+=("$run-peers/$method"); done

unless_there() { # FILE COMMAND...: what the command prints becomes the file, whole or not at all
  local file=$1
  shift
  [ -e "$file" ] || { "$@" > "$file.part" && mv "$file.part" "$file"; }
}
called() { basename "${1%%:*}"; } # "random" for random:resnet18, the last part of a path
evaluate() { # NAME COMMAND OPTIONS...: a report for each of all weights, with its answers beside it
  local name=$1 command=$2 weights report
  shift 2
  for weights in "${all[@]}"; do
    report=$run/evaluations/$name
    [ "$weights" = "$run" ] || report+=-$(called "$weights")
    unless_there "$report.json" dermssl "$command" "$weights" "$ham" --image-size "$size" --json \
      --predictions "$report.predictions.csv" "$@"
  done
}
mkdir -p "$run/evaluations"
evaluate knn eval-knn
evaluate frozen finetune --freeze
evaluate finetune finetune ${FINETUNE_EPOCHS:+--epochs "$FINETUNE_EPOCHS"}
for weights in "${all[@]}"; do
  few=$run/fewshot/$(called "$weights") reports=$run/evaluations/few-labels/$(called "$weights")
  [ -e "$few/fewshot.json" ] || { # written last
    rm -rf "$few"
    dermssl fewshot "$weights" "$ham" --image-size "$size" --freeze --output "$few"
  }
  mkdir -p "$reports" && cp "$few"/reports/*.json "$reports"
done

here=$(dirname "$0")
python "$here/paired_differences.py" "$run/evaluations"
unless_there "$run/camera_shift.md" python "$here/camera_shift.py" "$ham" "$run" "$untrained" \
  --image-size "$size" --output "$run/evaluations/camera"
cat "$run/camera_shift.md"
[ -e "$run/evaluations/mean-activation.png" ] || # the last that is written
  python "$here/card_figures.py" "$ham" "$run" "$untrained" --image-size "$size" --output "$run/evaluations"
dermssl export "$run" "$published" --license cc-by-nc-4.0 \
  --attribution "Tschandl, Rosendahl, Kittler: The HAM10000 dataset. Scientific Data 5, 180161 (2018), doi:10.1038/sdata.2018.161" \
  --attribution "International Skin Imaging Collaboration, ISIC Archive; Codella et al. (2018), doi:10.1109/ISBI.2018.8363547"
python -m dermssl.hub.check "$(dirname "$published")"
