#!/usr/bin/env bash
# Renews requirements/base.lock and requirements/torch.lock from pyproject.toml, for every Python and system.
# What is locked stays unless pyproject.toml excludes it; `--upgrade` takes the newest of everything.
# gdal is left out: its version follows the system's libgdal (requirements/gdal.lock).
set -euo pipefail
cd "$(dirname "$0")/.."

torch_family='^(torch|torchvision|triton|nvidia-.*|cuda-.*)=='
uv=$(realpath "${UV:-.venv/bin/uv}")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

sed '/"gdal>=/d' pyproject.toml >"$tmp/pyproject.toml"
cat requirements/base.lock requirements/torch.lock >"$tmp/all.lock" 2>/dev/null || true
(
  cd "$tmp" # so that no path gets into the comments
  "$uv" pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
    --no-header --output-file all.lock "$@" >/dev/null
)

# Entries begin in the first column; their hashes and comments are indented.
split() { awk -v family="$torch_family" -v torch="$1" '/^[^ ]/ { mine = ($0 ~ family) == torch } mine' "$tmp/all.lock"; }
{
  echo "# Every Python package but gdal, torch and torchvision with their CUDA libraries. Made by scripts/lock.sh."
  split 0
} >requirements/base.lock
{
  echo "# torch and torchvision with their CUDA libraries, which HEPH_TORCH_INDEX replaces. Made by scripts/lock.sh."
  split 1
} >requirements/torch.lock
