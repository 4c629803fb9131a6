# What people see of one photograph: terminal maps, pictures, a page.
S=$ROOT/share/organism/scenes
M=$ROOT/share/organism/random
look() {
    tapetum lens "$M" "$S/001.png" --label head --mask "$S/001.parts.png" "$@"
}
# a pipe gets the table alone, and no escapes
look >plain.txt
grep -q '^head  *4 ' plain.txt || fail "no table: $(cat plain.txt)"
if grep -q 'every patch' plain.txt; then fail "a pipe gets maps"; fi
esc=$(printf '\033')
half=$(printf '\342\226\200') # upper half block
LANG=C.UTF-8 LC_ALL= look --color always >colour.txt
grep -q "$esc\[38;5;" colour.txt || fail "no colours with --color always"
grep -q "$half" colour.txt || fail "no half blocks in a UTF-8 locale"
[ "$(grep -c "$half" colour.txt)" -eq 6 ] || fail "12 rows of patches are 6 lines of halves"
LC_ALL=C look --color always >letters.txt
if grep -q "$esc" letters.txt; then fail "escapes where half blocks cannot be drawn"; fi
[ "$(tail -n 12 letters.txt | grep -c '[-.:=+*#%@]')" -eq 12 ] || fail "no letters: $(cat letters.txt)"
NO_COLOR=1 LANG=C.UTF-8 LC_ALL= look >none.txt
cmp plain.txt none.txt || fail "NO_COLOR changes a pipe"
LC_ALL=C tapetum patches "$M" "$S/001.png" --mask "$S/001.parts.png" >digits.txt
grep -q 'digits are tenths' digits.txt || fail "a pipe gets no digits"

for kind in png svg pdf html; do
    look --condition '' --condition 'lm: image <- image' -o l.$kind
    [ -s l.$kind ] || fail "l.$kind is empty"
done
expect 2 look -o l.jpg 2>err
grep -q "let it end in .html" err || fail "no hint: $(cat err)"
[ ! -e l.jpg ] || fail "a file was left behind"
expect 2 tapetum lens "$M" "$S/001.png" --top 3 -o l.png 2>err
grep -q 'add --label WORD' err || fail "no hint: $(cat err)"

look --label window --condition '' --condition 'lm: image <- image' --json >l.jsonl
look --label window --condition '' --condition 'lm: image <- image' -o l.html
need python3
set +e
python3 "$ROOT/tests/browser/check_lens.py" "$PWD/l.html" "$PWD/l.jsonl" >said 2>&1
found=$?
set -e
[ $found -ne 77 ] || skip "$(tail -n 1 said); install chromium to open the page"
[ $found -eq 0 ] || fail "$(cat said)"
