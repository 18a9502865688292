#!/bin/sh
# The system packages the tests want: a real Redis, a real PostgreSQL, a real browser, OCR and a Hindi font. Installed where that is allowed,
# else named.
set -eu

wanted=""
command -v redis-server >/dev/null 2>&1 || wanted="$wanted redis-server"
{ command -v postgres || ls /usr/lib/postgresql/*/bin/postgres; } >/dev/null 2>&1 || wanted="$wanted postgresql"
{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null 2>&1 || wanted="$wanted chromium"
tesseract --list-langs 2>/dev/null | grep -qx hin || wanted="$wanted tesseract-ocr tesseract-ocr-eng tesseract-ocr-hin"
fc-list 2>/dev/null | grep -q 'NotoSansDevanagari' || wanted="$wanted fontconfig fonts-noto-core"
python3 -c 'import ensurepip' >/dev/null 2>&1 || wanted="$wanted python3-venv"
[ -n "$wanted" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >/dev/null
else
    echo "Some tests need programs that are not here, and will fail. Install them:  sudo apt-get install -y$wanted"
fi
