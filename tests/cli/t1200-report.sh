# The page in a browser: values, slider, hover, keyboard, contrast, hostile names.
need python3
"$BUILD/tests/tools/make_results" r.db 24
"$BUILD/tests/tools/make_results" hostile.db 6 hostile
expect 0 tapetum report r.db -o r.html -q
expect 0 tapetum report hostile.db -o hostile.html -q
expect 0 tapetum report r.db hostile.db -o both.html --images none -q
[ "$(grep -c 'class="study"' both.html)" -eq 2 ] || fail "two databases, but not two studies"
if grep -q 'jpeg;base64,/9j' both.html; then fail "--images none leaves pictures in"; fi
[ "$(wc -c <r.html)" -lt 5000000 ] || fail "the page is large: $(wc -c <r.html)"
# the same page every time, and nothing of it from elsewhere
cp r.html again.html
expect 0 tapetum report r.db -o r.html -q --threads 1
sed -i 's/ --threads 1//' r.html
cmp r.html again.html || fail "the page differs from run to run"
if grep -oE '(src|href)="(https?:)?//[^"]*' r.html hostile.html; then fail "the page points elsewhere"; fi
# what is wrong is said, and no file is left
expect 1 tapetum report nothing.db -o x.html 2>err
expect 2 tapetum figure r.db dept -o x.svg 2>err
grep -q "did you mean 'depth'" err || fail "no suggestion: $(cat err)"
expect 2 tapetum figure r.db depth -o x.jpg 2>err
expect 2 tapetum figure r.db depth --depth 99 -o x.svg 2>err
grep -q 'depths go from 0 to 32' err || fail "no range: $(cat err)"
if [ -e x.html ] || [ -e x.svg ] || [ -e x.jpg ]; then fail "a file was left behind"; fi
for name in cells depth recovery effects doses parts controls; do
    for kind in svg pdf png; do
        expect 0 tapetum figure r.db $name --width 85 --dpi 60 -o f.$kind
        [ -s f.$kind ] || fail "figure $name as $kind is empty"
    done
done
expect 0 tapetum figure r.db depth --width 85 -o f.svg
grep -q 'width="240.9[0-9]*' f.svg || fail "85 mm are 240.9 pt: $(head -c 300 f.svg)"

set +e
python3 "$ROOT/tests/browser/check_report.py" "$TAPETUM" "$PWD/r.db" "$PWD/r.html" \
    "$PWD/hostile.html" >said 2>&1
found=$?
set -e
[ $found -ne 77 ] || skip "$(tail -n 1 said); install chromium to drive the page"
[ $found -eq 0 ] || fail "$(cat said)"
