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
sed 's/.*"ids":\(\[[^]]*\]\).*/{"ids":\1}/' ids | tapetum tokenize "$M" --decode --no-special >text
[ "$(cat text)" = "a tail" ] || fail "ids do not come back as text: $(cat text)"
expect 1 tapetum tokenize "$M" --decode 2>said <<END
{"ids": [1, -2]}
END
grep -q 'entry 1 of "ids" is not a token id' said || fail "no word on a wrong id: $(cat said)"
expect 0 tapetum inspect "$M" --json >inspect
grep -q 'llava-1.5' inspect || fail "no family"
grep -q '"template":"llava-1.5","stops":\[' inspect || fail "no template and stop tokens"

# the formats of NumPy hold the same bytes; a part of a state is a part
expect 0 tapetum trace "$M" "$I" --sites lm.1.pattern --positions last --heads 1-2 -o one.npy
head -c 128 one.npy | grep -aq "'shape': (2, 1, " || fail "not two heads of one row: $(head -c 128 one.npy)"
expect 0 tapetum trace "$M" "$I" --sites lm.1.pattern --positions last --heads 1-2 -o one.safetensors
tail -c 400 one.npy >a
tail -c 400 one.safetensors >b
cmp a b || fail "the npy file has other numbers"
expect 0 tapetum trace "$M" "$I" --sites 'lm.*.z' --format npz -o many
head -c 2 many | grep -q PK || fail "no archive"
expect 0 tapetum trace "$M" "$I" --sites vision.pixels -o p.npy
tail -c 400 p.npy >a
tail -c 400 p.safetensors >b
cmp a b || fail "pixels differ"
[ -z "$(ls ./*.part 2>/dev/null)" ] || fail "a part was left behind"
expect 2 tapetum trace "$M" "$I" --sites 'lm.*.z' -o many.npy 2>err
grep -q 'ask for npz' err || fail "$(cat err)"
[ ! -e many.npy ] || fail "half-written npy"
for heads in 4 x 2-1 1, ''; do
    expect 2 tapetum trace "$M" "$I" --sites lm.0.z --heads "$heads" -o h.npy 2>err
    grep -q 'head' err || fail "$(cat err)"
done
