#!/usr/bin/env bash
# The first hour on a GPU, in stages of at most nine minutes that need nothing of each other (docs/gpu.md):
#
#   scripts/gpu_session.sh A                is it right, where does the time go, and is TF32 as accurate?
#   scripts/gpu_session.sh B [SETTING...]   the rows of Table 1 of MNIST and Fashion-MNIST
#   scripts/gpu_session.sh C [SETTING...]   the rows of Table 1 of CIFAR-10
#
# Settings go to train.py; without a precision among them, precision=tf32 too. ROWS="cnn/mnist ..." trains only these
# rows. A stage takes the wheels and images that are in carry/ (or torchvision's images in $DATA_ROOT) and writes to $OUT
# (default: outputs/gpu) as it goes on, so that what is cut off loses only what was under way. Data and runs stay in $WORK
# (default: /tmp/bayes_pruning): on the same machine the same stage goes on where it was. REHEARSE=1 does all of it on a
# CPU, with a few images.
set -uo pipefail
cd "$(dirname "$0")/.."
stage=${1:-}
case $stage in A | B | C) shift ;; *) sed -n '2,12p' "$0"; exit 2 ;; esac
case " $* " in *" precision="*) ;; *) set -- precision=tf32 "$@" ;; esac
out=${OUT:-outputs/gpu} work=${WORK:-/tmp/bayes_pruning}
root=${DATA_ROOT:-$work/root} log=$out/$stage.txt end=$((SECONDS + 530)) failed=()
mkdir -p "$out" "$work/data" "$work/site"
export PYTHONUNBUFFERED=1 PYTHONPATH=$work/site:benchmarks
if [ -z "${REHEARSE:-}" ]; then
  device=cuda kinds=(tf32 fp32) members=105 few=() small=() tiny=() patience=1
else
  device=cpu kinds=(fp32) members=2 few=(--images 128 --epochs 1)
  small=(--images 128 --members 2 --side 64 --copied 1000)
  tiny=(epochs=1 seed=0,1,2 sparsity=0.9 pruner=none,magnitude,bayes_magnitude) # enough to compare
  set -- precision=fp32
  patience=4 # a CPU may be busy
fi

say() { echo "$@" | tee -a "$log"; }

# step SECONDS COMMAND...: run it within that time and what is left of the stage's. What fails does not end the stage.
step() {
  local seconds=$(($1 * patience < end - SECONDS ? $1 * patience : end - SECONDS))
  shift
  say "== at $SECONDS s: $*"
  if [ "$seconds" -lt 5 ]; then
    failed+=("left out, the time is up: $*")
  else
    timeout -k 5 "$seconds" "$@" 2>&1 | tee -a "$log" || failed+=("$*")
  fi
}

# train SECONDS MODEL/DATASET ARCHIVE SETTING...: a row of Table 1. Then $out/ARCHIVE.parquet has all finished runs.
train() {
  local seconds=$(($1 < end - SECONDS - 20 ? $1 : end - SECONDS - 20)) row=$2 archive=$3
  shift 3
  local minutes # the rest is for starting and ending
  minutes=$(awk "BEGIN { print ($seconds > 60 ? $seconds - 30 : $seconds / 2) / 60 }")
  [ -z "${REHEARSE:-}" ] || set -- "$@" "dataset.loader=rehearsal.${row#*/}"
  step "$seconds" python3 train.py -m experiment=table1 "model=${row%/*}" "dataset=${row#*/}" ${tiny[@]+"${tiny[@]}"} "device=$device" \
    "data_root=$root" "output_dir=$work/runs/$archive" wandb.mode=disabled progress=lines checkpoint_seconds=600 \
    "max_minutes=$minutes" "$@"
  step 20 python3 scripts/publish.py "$work/runs/$archive" --out "$out/$archive.parquet"
}

# images DATASET...: where torchvision looks for them.
images() {
  [ -n "${DATA_ROOT:-}" ] || step 60 python3 "$work/data/unpack.py" "$root" "$@"
}

say "== stage $stage, $(date -u +%FT%TZ), revision $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
if compgen -G "carry/wheels/*.whl" >/dev/null; then
  step 60 python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$work/site" carry/wheels/*.whl
fi
for part in carry/part*; do
  [ ! -d "$part" ] || cp -r "$part/." "$work/data/"
done

case $stage in
A)
  images mnist fashion_mnist
  step 120 python3 benchmarks/check_gpu.py --device "$device" --data-root "$root" --images 2000 ${few[@]+"${few[@]}"}
  step 190 python3 benchmarks/profile_stacks.py --device "$device" --data-root "$root" --stacks fcn/mnist cnn/mnist \
    --precision "${kinds[@]}" --compile --trace "$work/trace" --out "$out/profile.jsonl" ${small[@]+"${small[@]}"}
  tail -n +1 "$work"/trace/*.txt >"$out/trace.txt" || failed+=("the traces of profile_stacks.py")
  step 60 python3 -m pytest tests/test_gpu.py
  for kind in "${kinds[@]}"; do
    step 30 python3 benchmarks/bench_convolutions.py --device "$device" --members "$members" --precision "$kind"
  done
  for kind in "${kinds[@]}"; do train 75 fcn/mnist "precision_$kind" "precision=$kind"; done
  step 20 python3 benchmarks/compare_precision.py "$out/precision_fp32.parquet" "$out/precision_${kinds[0]}.parquet"
  ;;
B)
  images mnist fashion_mnist
  for row in ${ROWS:-fcn/mnist fcn/fashion_mnist cnn/mnist cnn/fashion_mnist}; do train 500 "$row" table1_B "$@"; done
  ;;
C)
  missing=()
  for batch in data_batch_{1..5} test_batch; do
    [ -n "${DATA_ROOT:-}" ] || [ -f "$work/data/cifar10/$batch.webp" ] || missing+=("$batch")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    say "What came is in $work/data. Of CIFAR-10 are still missing: ${missing[*]}. Call stage C again with their part."
    exit 3
  fi
  images cifar10
  for row in ${ROWS:-fcn/cifar10 cnn/cifar10}; do train 500 "$row" table1_C "$@"; done
  ;;
esac

say "== stage $stage ended after $SECONDS s, ${#failed[@]} of its steps failed"
for each in ${failed[@]+"${failed[@]}"}; do say "failed: $each"; done
[ ${#failed[@]} -eq 0 ]
