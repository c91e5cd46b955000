#!/bin/sh
# The parts of the tests that pip cannot install. Does nothing where they are there; where it
# may not install them, says so and lets their tests skip with a reason.
set -u
packages=""
command -v gcc >/dev/null 2>&1 || packages="$packages gcc libc6-dev"
command -v chromium >/dev/null 2>&1 || packages="$packages chromium"
command -v chromedriver >/dev/null 2>&1 || packages="$packages chromium-driver"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null 2>&1 || packages="$packages postgresql"
command -v promtool >/dev/null 2>&1 || packages="$packages prometheus"
[ -z "$packages" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "setup: not here:$packages. Their tests will skip; on Debian install them as root with apt-get."
  exit 0
fi
echo "setup: installing$packages from Debian"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # a list of words is what is meant
(apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages) >/dev/null 2>&1 ||
  echo "setup: Debian did not give$packages; their tests will skip."
