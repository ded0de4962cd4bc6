#!/usr/bin/env bash
# One call of the sitting: unpack what was carried, then run a script of this folder on it.
#
#   bash tests/benchmarks/gpu/call.sh step.py [options]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=${SITTING:-/tmp/sitting}

if [ ! -e "$work/unpacked" ]; then
  mkdir -p "$work/images"
  tar xf "$root/.carry/travel_160.tar" -C "$work"
  # all images in one folder, for pretraining: two data sets in one folder are not one to dermssl
  find "$work/travel_160" -name "*.webp" -exec cp -lf -t "$work/images" {} +
  for wheel in "$root"/.carry/*.whl; do
    [ ! -e "$wheel" ] || "${PYTHON:-python3}" -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$wheel"
  done
  touch "$work/unpacked"
fi
export PYTHONPATH="$root:$root/tests/benchmarks:$root/tests/pretraining:$work/site"
export PYTHONUNBUFFERED=1 MPLBACKEND=Agg DERMSSL_CACHE="$work/cache" SITTING="$work"
exec "${PYTHON:-python3}" "$here/$1" "${@:2}"
