# State edits and patches from the command: a trace of one picture goes into another, an
# experiment with edits keeps receipts of them.
D=$ROOT/share/organism
M=$D/random
I=$D/scenes/000.png
J=$D/scenes/001.png
K=$D/scenes/000.parts.png

# all that enters the first block from another picture: its ranks
expect 0 tapetum trace "$M" "$J" --sites lm.0.resid_pre --positions image -o other.safetensors
expect 0 tapetum lens "$M" "$I" --label head --json --condition 'lm[0]: patch("other.safetensors") image' >patched
expect 0 tapetum lens "$M" "$J" --label head --json >theirs
expect 0 tapetum lens "$M" "$I" --label head --json >mine
for f in patched theirs mine; do sed 's/"condition": *"[^,]*",//' $f >$f.ranks; done
cmp patched.ranks theirs.ranks || fail "a patched picture does not read as its source"
cmp -s mine.ranks theirs.ranks && fail "the two pictures read alike"
# patched back from the clean run of the same call; a condition by its name
expect 0 tapetum lens "$M" "$I" --label head --json --mask "$K" --condition 'enc.all_self+cls_drop' \
    --condition 'enc.all_self+cls_drop; lm[0]: patch(clean) image' \
    --condition 'lm[0]: patch(enc.all_self+cls_drop) image' >back
expect 0 tapetum lens "$M" "$I" --label head --json --mask "$K" | sed 's/"condition": *"[^,]*",//' >b
grep '; lm\[0\]: patch(clean)' back | sed 's/"condition": *"[^,]*",//' >a
[ -s a ] || fail "no lines of the patched condition"
cmp a b || fail "patching the clean run back does not restore it"
grep '"condition": *"enc.all_self+cls_drop",' back | sed 's/"condition": *"[^,]*",//' >c
grep '"condition": *"lm\[0\]' back | sed 's/"condition": *"[^,]*",//' >d
[ -s c ] || fail "no lines of the condition"
cmp c d || fail "a condition patched into a clean run does not read as itself"

# reg says where it comes from, and the receipt says what was done
scenes 12
cat >e.yaml <<Y
schema: 1
model: $M
data: {format: masks, images: $D/scenes, annotations: items.tsv, parts: {min_area_px: 12}}
conditions:
  clean: ""
  off: "vision: image <- image|cls; lm[1].h[0]: zero image; lm: mean part"
  relay: "vision: image <- reg; vision[0]: part <- all drop self empty zero"
  back: "lm[1]: patch(off) part"
stats: {metrics: [log_rank], bootstrap: 100, seed: 1}
Y
expect 0 tapetum run e.yaml --dry-run >plan.txt
grep -q 'reg: high-norm tokens of a clean run' plan.txt || fail "the plan does not say where reg comes from"
expect 0 tapetum run e.yaml -o e.db -q
expect 0 tapetum stats e.db --receipts --json >receipts
grep '"name": *"off"' receipts | grep '"stack": *"lm"' | grep -q '"first_block": *-1.*"states_edited": *[1-9]' ||
    fail "no receipt of the edit before the blocks"
grep '"name": *"off"' receipts | grep -q '"first_block": *1.*"states_edited": *144' || fail "no receipt of the head"
grep '"name": *"relay"' receipts | grep -q '"empty_rule": *"zero"' || fail "no rule for empty rows"
grep '"name": *"clean"' receipts | grep -q '"states_edited": *[1-9]' && fail "the clean run was edited"

# refused before anything is computed
expect 1 tapetum lens "$M" "$I" --label head --condition 'lm[1]: steer(missing.safetensors,1) image' 2>err
grep -q "missing.safetensors" err || fail "no file named: $(cat err)"
expect 2 tapetum lens "$M" "$I" --label head --condition 'lm: mean image; lm: zero image' 2>err ||
    true
grep -q "'zero' and the 'mean' of column 1 both change row" err || fail "two edits are not refused: $(cat err)"
