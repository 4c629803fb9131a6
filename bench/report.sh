#!/bin/sh
# The report of a thousand images: bench/report.sh BUILD
# Prints seconds to write it, its size, and milliseconds until a browser has it open; fails
# above 10 s, 30 MB or 2000 ms.
set -eu
build=$1
scratch=$(mktemp -d "${TMPDIR:-/tmp}/tapetum.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
"$build/tests/tools/make_results" "$scratch/r.db" 1000
start=$(date +%s.%N)
"$build/tapetum" report "$scratch/r.db" -o "$scratch/r.html" -q
seconds=$(echo "$(date +%s.%N) - $start" | bc)
bytes=$(wc -c <"$scratch/r.html")
opened=$(PYTHONPATH=tests/browser python3 -c '
import sys
from browser import Browser, Missing
try:
    with Browser() as browser:
        browser.open("about:blank")
        page = browser.open("file://" + sys.argv[1])
        print(page.js("performance.timing.loadEventEnd - performance.timing.navigationStart"))
except Missing:
    print("0")
' "$scratch/r.html")
echo "report of 1000 images, 4600 parts, 8 conditions, 33 depths: $seconds s, $bytes bytes, open after $opened ms"
[ "$(echo "$seconds < 10" | bc)" -eq 1 ] && [ "$bytes" -lt 30000000 ] && [ "$opened" -lt 2000 ]
