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

# another picture named in the condition is its trace, whatever the place
expect 0 tapetum trace "$M" "$J" --sites lm.1.z,vision.0.resid_post,projector.out,lm.2.resid_pre --positions all -o t.safetensors
expect 0 tapetum trace "$M" "$I" --sites 'lm.depth.*' --mask "$K" -o by-image.safetensors \
    --condition "vision[0]: patch(image \"$J\") outside at resid_post; projector: patch(image \"$J\") part; lm[1].h[0]: patch(image \"$J\") image|question at z; lm[2]: patch(image \"$J\") part"
expect 0 tapetum trace "$M" "$I" --sites 'lm.depth.*' --mask "$K" -o by-trace.safetensors \
    --condition 'vision[0]: patch("t.safetensors") outside at resid_post; projector: patch("t.safetensors") part; lm[1].h[0]: patch("t.safetensors") image|question at z; lm[2]: patch("t.safetensors") part'
expect 0 tapetum trace "$M" "$I" --sites 'lm.depth.*' --mask "$K" -o untouched.safetensors
tail_of() { # the numbers of a file without its header
    n=$(od -An -tu4 -N4 "$1" | tr -d ' ')
    tail -c +$((n + 9)) "$1"
}
for f in by-image by-trace untouched; do tail_of $f.safetensors >$f.raw; done
cmp by-image.raw by-trace.raw || fail "patch(image) is not the picture's trace"
cmp -s by-image.raw untouched.raw && fail "patch(image) changed nothing"
expect 1 tapetum lens "$M" "$I" --label head --condition 'lm[0]: patch(image "none.png") image' 2>err
grep -q "none.png" err || fail "no picture named: $(cat err)"
expect 2 tapetum lens "$M" "$I" --label head --condition "vision: patch(image \"$J\") image at pixels" 2>err
grep -q "gives states, not pixels; write 'at patch_embed'" err || fail "pixels: $(cat err)"
F=$ROOT/tests/golden/families
expect 2 tapetum trace "$F/llava-next" "$F/wide.png" --sites lm.depth.1 -o x.safetensors \
    --condition "lm[0]: patch(image \"$F/tall.png\") image" 2>err
grep -q "tall.png' becomes .* patch(image) needs pictures whose tokens stand in the same places" err ||
    fail "another layout: $(cat err)"

# pixels: what is seen, and what a run makes of it
expect 0 tapetum trace "$M" "$I" --sites vision.pixels,vision.patch_embed --mask "$K" -o painted.safetensors \
    --condition 'vision: zero part at pixels'
expect 0 tapetum trace "$M" "$I" --sites vision.pixels --mask "$K" -o only.safetensors --condition 'vision: zero part at pixels'
expect 0 tapetum trace "$M" "$I" --sites vision.pixels -o seen.safetensors
for f in only seen; do tail_of $f.safetensors >$f.raw; done
cmp -s only.raw seen.raw && fail "painted pixels are traced as they were"
[ "$(cmp -l only.raw seen.raw | wc -l)" -gt 100 ] || fail "few pixels painted"

# one random projector for all pictures: its own inverse it is not, and it moves depth 0
expect 0 tapetum lens "$M" "$I" --label head --json --condition 'ctl.random_projector(1)' | sed 's/"condition": *"[^,]*",//' >scrambled
cmp -s scrambled mine.ranks && fail "a random projector changed nothing"

expect 0 tapetum trace "$F/llava-onevision" "$F/wide.png" --sites lm.depth.0 -o one.safetensors
expect 0 tapetum trace "$F/llava-onevision" "$F/wide.png" --sites lm.depth.0 -o other.safetensors --condition 'ctl.random_projector(1)'
for f in one other; do tail_of $f.safetensors >$f.raw; done
cmp -s one.raw other.raw && fail "no random projector where tokens mix its rows"
expect 2 tapetum trace "$F/llava-onevision" "$F/wide.png" --sites lm.depth.0 -o x.safetensors --condition 'projector: zero row_last at out' 2>err
grep -q "mix several rows of the projector; name the whole image" err || fail "$(cat err)"

# generated tokens: what has a meaning runs, the rest is refused by name
G='--prompt What? --max-tokens 4'
expect 0 tapetum generate "$M" "$I" $G --condition 'lm[1]: mean gen at mlp_out; lm[0]: copy(image) gen' >/dev/null
expect 1 tapetum generate "$M" "$I" $G --condition 'lm[1]: permute(1) all' 2>err
grep -q "'permute' of generated tokens at lm.1.resid_pre: a permutation needs all its rows at once" err || fail "permute: $(cat err)"
expect 0 tapetum generate "$M" "$I" $G --condition 'lm[1]: permute(1) all-gen' >/dev/null
expect 0 tapetum trace "$M" "$J" --prompt 'What?' --sites lm.2.resid_pre --positions all -o what.safetensors
expect 0 tapetum generate "$M" "$I" $G --condition 'lm[2]: patch("what.safetensors") all-gen' >/dev/null
expect 2 tapetum generate "$M" "$I" $G --condition 'lm[2]: patch("what.safetensors") all' 2>err
grep -q "'what.safetensors' has no states of generated tokens" err || fail "patch: $(cat err)"
expect 2 tapetum generate "$M" "$I" $G --condition "lm[2]: patch(image \"$J\") all" 2>err
grep -q "gives no states to generated tokens" err || fail "patch(image): $(cat err)"

# the tokens a word depends on; named runs and pictures in answers, too
expect 0 tapetum answer "$M" "$I" --prompt 'What?' --answer head --json --condition '' --condition 'neo.ablate.intgrad(5,"head")' \
    --condition 'lm[1]: patch(neo.ablate.intgrad(5,"head")) image' --condition "lm[0]: patch(image \"$J\") image" >answers
[ "$(sed 's/.*"log_p": *\([^,]*\),.*/\1/' answers | sort -u | wc -l)" -eq 4 ] || fail "conditions answer alike: $(cat answers)"
expect 2 tapetum answer "$M" "$I" --prompt 'What?' --answer head --condition 'vision: image <- intgrad(5,"head")' 2>err
grep -q "column 18: intgrad chooses among the decoder's image tokens" err || fail "$(cat err)"

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

# files that an experiment's conditions name lie beside it; intgrad is not for experiments
mkdir -p deeper
sed "s|annotations: items.tsv|annotations: ../items.tsv|; s|off: .*|off: 'lm[2]: patch(\"../t.safetensors\") part; lm[1]: patch(image \"$J\") part'|" e.yaml >deeper/e.yaml
expect 0 tapetum run deeper/e.yaml -o deeper.db -q
sed "s|off: .*|off: 'lm: zero intgrad(3,\"head\")'|" e.yaml >deeper/g.yaml
sed -i 's|annotations: items.tsv|annotations: ../items.tsv|' deeper/g.yaml
expect 2 tapetum run deeper/g.yaml -o g.db -q 2>err
grep -q 'intgrad(3,"head") needs a question that is answered' err || fail "intgrad in an experiment: $(cat err)"

# refused before anything is computed
expect 1 tapetum lens "$M" "$I" --label head --condition 'lm[1]: steer(missing.safetensors,1) image' 2>err
grep -q "missing.safetensors" err || fail "no file named: $(cat err)"
expect 2 tapetum lens "$M" "$I" --label head --condition 'lm: mean image; lm: zero image' 2>err ||
    true
grep -q "'zero' and the 'mean' of column 1 both change row" err || fail "two edits are not refused: $(cat err)"
# what changes nothing is said, and what is not a mask's name
expect 0 tapetum lens "$M" "$I" --label head --condition 'kaduri.image_to_gen' >/dev/null 2>err
grep -q "note: the condition 'kaduri.image_to_gen' changes nothing here" err || fail "no note: $(cat err)"
expect 0 tapetum lens "$M" "$I" --label head --condition 'lm: part-part <- image' --mask "$K" >/dev/null 2>err
grep -q "note: the condition 'lm: part-part <- image' changes nothing here" err || fail "no note: $(cat err)"
expect 0 tapetum answer "$M" "$I" --prompt 'What?' --answer head --condition 'lm: gen <- image' >/dev/null 2>err
grep -q "note: the condition 'lm: gen <- image' changes nothing here" err || fail "no note of an answer: $(cat err)"
expect 0 tapetum answer "$M" "$I" --prompt 'What?' --answer 'head ear' --condition 'lm: gen <- image' >/dev/null 2>err
[ -s err ] && fail "an answer of two tokens has a generated one: $(cat err)"
expect 2 tapetum lens "$M" "$I" --label head --mask "whole=$K" 2>err
grep -q "a mask is called part, object or other_part, not 'whole'" err || fail "$(cat err)"
expect 2 tapetum answer "$M" "$I" --prompt 'What?' --answer '' 2>err
grep -q "an answer: '' is no token" err || fail "$(cat err)"
# an encoder alone: its own attention, and a sentence for the rest
expect 0 tapetum attention "$F/siglip" "$F/wide.png" --stack vision >/dev/null
expect 1 tapetum attention "$F/clip" "$F/wide.png" 2>err
grep -q "encoder without a decoder" err || fail "$(cat err)"
