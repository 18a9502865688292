#!/bin/sh
# The system packages the tests want: a real Redis and a real browser. Installed where that is allowed, else named.
set -eu

wanted=""
command -v redis-server >/dev/null 2>&1 || wanted="$wanted redis-server"
{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null 2>&1 || wanted="$wanted chromium"
python3 -c 'import ensurepip' >/dev/null 2>&1 || wanted="$wanted python3-venv"
[ -n "$wanted" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >/dev/null
else
    echo "Some tests will be skipped. To run them all, install:  sudo apt-get install -y$wanted"
fi
