# One image: lens, trace and patches agree with each other and with a cut's meaning.
D=$ROOT/share/organism
M=$D/random
I=$D/scenes/000.png
K=$D/scenes/000.parts.png
expect 0 tapetum lens "$M" "$I" --label head --label tail --mask "$K" --condition '' \
    --condition 'lm: image <- image' --json >lens.jsonl
grep -c '"condition"' lens.jsonl >count
[ "$(cat count)" -ge 20 ] || fail "too few objects: $(cat count)"
grep '"depth": *0' lens.jsonl | grep -v 'image <- image' | sed 's/"condition": *"[^"]*"//' >clean0
grep '"depth": *0' lens.jsonl | grep 'image <- image' | sed 's/"condition": *"[^"]*"//' >cut0
cmp clean0 cut0 || fail "a decoder cut changes depth 0"
grep -q '"best"' lens.jsonl || fail "no best with a mask"
expect 0 tapetum lens "$M" "$I" --label head >lens.txt
grep -q '^head' lens.txt || fail "no table"
expect 0 tapetum trace "$M" "$I" --sites 'vision.pixels,lm.depth.*,lm.1.pattern' -o t.safetensors
head -c 4000 t.safetensors | grep -q 'lm.depth.4' || fail "no lm.depth.4 in the trace"
expect 0 tapetum trace "$M" "$I" --sites lm.logits --positions last -o l.safetensors
mkdir bare
cp "$M/config.json" "$M/preprocessor_config.json" bare
expect 0 tapetum trace bare "$I" --sites vision.pixels -o p.safetensors
expect 0 tapetum patches bare "$I" --mask "$K" -o overlay.png --json >cover.json
grep -q '"n_rows": *12' cover.json || fail "no grid of 12 rows"
[ -s overlay.png ] || fail "no picture"
echo '{"text": "a tail"}' | tapetum tokenize "$M" --json >ids
grep -q '"ids"' ids || fail "no ids"
expect 0 tapetum inspect "$M" --json >inspect
grep -q 'llava-1.5' inspect || fail "no family"
