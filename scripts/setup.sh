#!/usr/bin/env bash
# Makes .venv ready to run: system packages, locked Python packages, gdal, this package.
# The Makefile calls it before every target; where nothing has changed it returns at once.
#
#   HEPH_PYTHON=<interpreter>  makes .venv with it (default: the first Python >= 3.11 on PATH)
#   HEPH_TORCH_INDEX=<url>     takes torch and torchvision from that package index, say one of CPU-only wheels, not
#                              from torch.lock; remembered in .venv, and an empty value goes back to the lock
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian keeps ldconfig off a user's PATH; a Python inside .venv cannot remake .venv.
PATH=${PATH//"$PWD/.venv/bin:"/}:/usr/sbin:/sbin

stamp=.venv/.heph-setup
torch_index_file=.venv/.heph-torch-index
torch_index=${HEPH_TORCH_INDEX-$(cat "$torch_index_file" 2>/dev/null || true)}

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null; }

# All that .venv was made from: when it changes, .venv is brought up to date.
fingerprint() {
  {
    cat requirements/*.lock pyproject.toml scripts/setup.sh
    echo "$PWD $torch_index"
    gdal-config --version
    .venv/bin/python -Ic 'import sys; print(sys.version)'
  } 2>/dev/null | cksum
}

find_python() {
  local python
  for python in ${HEPH_PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$python" -c '
import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(sys.version_info < (3, 11) or not os.path.exists(header))' 2>/dev/null; then
      command -v "$python"
      return
    fi
  done
}

has_library() { # macOS frameworks take the place of these
  [[ $OSTYPE == darwin* || $(ldconfig -p) == *"$1"* ]]
}

as_root() { if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo "$@"; fi; }

# The system packages that are missing, under the names of $1: 1 = apt, 2 = dnf, 3 = brew.
missing_packages() {
  {
    has make || echo make make make
    has git || echo git git git
    { has cc && has c++; } || echo build-essential gcc-c++ gcc
    has gdal-config || echo libgdal-dev gdal-devel gdal
    # What the OpenCV wheel links to.
    has_library libGL.so.1 || echo libgl1 mesa-libGL
    has_library libgthread-2.0.so.0 || echo libglib2.0-0 glib2
    { [[ $OSTYPE == darwin* ]] || compgen -G '/etc/ssl/certs/*' >/dev/null; } || echo ca-certificates ca-certificates
    [[ $(find_python) ]] || echo python3,python3-venv,python3-dev python3-devel python
  } | awk -v name="$1" '{ gsub(",", " ", $name); printf "%s%s", separator, $name; separator = " " }'
}

install_system_packages() {
  local missing
  missing=$(missing_packages 1)
  [[ $missing ]] || return 0
  [[ -z ${HEPH_PYTHON-} || $(find_python) ]] ||
    die "HEPH_PYTHON=$HEPH_PYTHON is not a Python >= 3.11 with venv and its headers"
  if [[ $OSTYPE == darwin* ]]; then die "install what is missing: brew install $(missing_packages 3)"; fi
  has apt-get || die "install what is missing, in Fedora's names: dnf install $(missing_packages 2)"
  [[ $(id -u) -eq 0 ]] || has sudo || die "there is no sudo; as root, run: apt-get install $missing"

  say "installing system packages: $missing"
  # One broken third-party list must not stop the others.
  as_root apt-get -qq update || say "not every apt list could be renewed; going on"
  # Ubuntu 22.04 has 3.11 beside its python3.
  dpkg --compare-versions "$(apt-cache policy python3 | awk '/Candidate:/ { print $2 }')" ge 3.11 ||
    missing=${missing//python3/python3.11}
  # shellcheck disable=SC2086  # one word for each package
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends $missing >"$tmp/apt.log" 2>&1 || {
    tail -n 20 "$tmp/apt.log" >&2
    die "apt could not install: $missing
  Needed is Debian 12, Ubuntu 22.04 (with universe) or newer; or install these by hand and run make again."
  }
}

make_venv() {
  local python
  if [[ $(cat "$stamp" 2>/dev/null) == unfinished ]] ||
    ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$(find_python)
    say "making .venv with $python"
    "$python" -m venv --clear .venv || die "$python -m venv failed: name another Python in HEPH_PYTHON"
  fi
  echo unfinished >"$stamp"
  echo "$torch_index" >"$torch_index_file"
}

# Prints the entry of package $1 in base.lock: its version and its hashes.
locked() { awk -v package="$1==" '/^[^ ]/ { found = index($0, package) == 1 } found' requirements/base.lock; }

install_uv() {
  local version index
  locked uv >"$tmp/uv.txt"
  version=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' "$tmp/uv.txt")
  if [[ $(.venv/bin/uv --version 2>/dev/null) != "uv $version"* ]]; then
    say "installing uv $version"
    .venv/bin/python -m ensurepip >/dev/null
    .venv/bin/python -m pip install --quiet --require-hashes --no-deps -r "$tmp/uv.txt" || die "$network_help"
  fi
  # uv follows the user's settings of pip: the package index and the certificates.
  index=${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
  if [[ $index && -z ${UV_INDEX_URL-} ]]; then export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}; fi
  if [[ ${PIP_CERT-} ]]; then export SSL_CERT_FILE=${SSL_CERT_FILE:-$PIP_CERT}; fi
  export UV_SYSTEM_CERTS=true UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-120}
  export VIRTUAL_ENV=$PWD/.venv
}

uv_pip() { # quiet where no one watches the progress bars
  if [[ -t 2 ]]; then .venv/bin/uv pip "$@"; else .venv/bin/uv --quiet pip "$@"; fi
}

install_locked() {
  local locks=(requirements/base.lock) size="1 GB"
  [[ $torch_index ]] || { locks+=(requirements/torch.lock) && size="6 GB with torch's CUDA libraries"; }
  say "installing $(cat "${locks[@]}" | grep -c '^[a-z]') Python packages, $size"
  uv_pip sync --require-hashes "${locks[@]}" || die "$network_help"
  [[ $torch_index ]] || return 0
  say "installing torch and torchvision from $torch_index"
  mapfile -t torch < <(sed -n 's/^\(torch\(vision\)\?==[^ ]*\).*/\1/p' requirements/torch.lock)
  uv_pip install --index "$torch_index" "${torch[@]}" ||
    die "no such torch in $torch_index: name another HEPH_TORCH_INDEX, or an empty one for the locked torch"
}

install_gdal() {
  local version install=(install --no-deps --no-build-isolation -r "$tmp/gdal.txt")
  version=$(gdal-config --version)
  if ! grep "^gdal==$version " requirements/gdal.lock >"$tmp/gdal.txt"; then
    say "gdal $version is not in requirements/gdal.lock: installing it without a hash"
    echo "gdal==$version.*" >"$tmp/gdal.txt"
  fi
  say "building gdal $version"
  uv_pip "${install[@]}" || die "gdal $version could not be built against the installed libgdal: see above"
  # The cache may hold one that was built without numpy, or against another libgdal.
  .venv/bin/python -c 'from osgeo import gdal_array' 2>/dev/null ||
    uv_pip "${install[@]}" --reinstall --refresh-package gdal
  .venv/bin/python -c 'from osgeo import gdal_array' || die "gdal was built without numpy: see above"
}

network_help="the Python packages could not be fetched: see above, then run make again.
  Behind a proxy or a mirror set HTTPS_PROXY, PIP_INDEX_URL or SSL_CERT_FILE."

if [[ -f $stamp && $(cat "$stamp") == "$(fingerprint)" ]]; then exit; fi
begin=$SECONDS
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
install_system_packages
make_venv
install_uv
install_locked
install_gdal
uv_pip install --no-deps --no-build-isolation --editable .
fingerprint >"$stamp"
say "done in $((SECONDS - begin)) s"
