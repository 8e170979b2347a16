#!/usr/bin/env bash
# Installs the distribution's PostgreSQL for the tests that start a cluster of their own: `make test-all` calls it.
# Where it cannot, it says so, and those tests are skipped.
set -euo pipefail

if command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then exit; fi
say() { printf 'postgresql: %s\n' "$*" >&2; }
if ! command -v apt-get >/dev/null; then
  say "there is no apt: install PostgreSQL by hand, or its tests are skipped"
  exit
fi
as_root() { if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo --non-interactive "$@"; fi; }
say "installing the distribution's PostgreSQL"
as_root apt-get -qq update || say "not every apt list could be renewed; going on"
as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
  install --no-install-recommends postgresql >/dev/null || say "it could not be installed: its tests are skipped"
