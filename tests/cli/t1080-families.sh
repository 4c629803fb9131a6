# Every family: patches on both grids, pictures, states; what an encoder alone cannot do and
# what no family reads is said in a sentence.
F=$ROOT/tests/golden/families
I=$F/wide.png
for family in llava-next:70 llava-next-mistral:70 llava-onevision:44 smolvlm:52 idefics3:4 \
    phi-3-vision:27 xgen-mm:25 xgen-mm-1:25 prismatic:16 clip:17 open_clip:10 siglip:9 \
    llava-next-llama-3:70 llava-next-yi:70; do
    name=${family%:*}
    expect 0 tapetum patches "$F/$name" "$I" --mask "$F/mask.png" --json -o "$name.png" \
        >"$name.json"
    grep -q "\"n_tokens\": *${family#*:}," "$name.json" ||
        fail "$name: $(grep -o '"n_tokens": *[0-9]*' "$name.json")"
    [ -s "$name.png" ] || fail "$name: no picture"
    expect 0 tapetum inspect "$F/$name" >"$name.txt"
    expect 0 tapetum trace "$F/$name" "$I" --sites 'vision.depth.*,projector.out' \
        -o "$name.safetensors"
done
grep -q '"kind": *"row_end"' phi-3-vision.json || fail "no newlines in phi-3-vision"
grep -q '"kind": *"separator"' phi-3-vision.json || fail "no separator in phi-3-vision"
expect 0 tapetum patches "$F/smolvlm" "$I" --mask "$F/mask.png" >grid.txt
grep -q 'of 52 decoder tokens' grid.txt || fail "no decoder grid: $(tail -2 grid.txt)"

# xGen-MM's image tokens stand for no patch, and each command says so
grep -q '5 learned queries read each group of 16 patches' xgen-mm.txt || fail "$(cat xgen-mm.txt)"
grep -q '"kind": *"latent"' xgen-mm.json || fail "no latents in xgen-mm"
expect 0 tapetum patches "$F/xgen-mm" "$I" --mask "$F/mask.png" >grid.txt
grep -q "25 image tokens are learned queries of 5 groups of patches: none stands for a patch" grid.txt ||
    fail "$(tail -2 grid.txt)"
X="tapetum lens $F/xgen-mm $I --label ear --multi-token first_piece"
expect 0 $X >lens.txt
grep -q 'over all image tokens, which stand for no patch,' lens.txt || fail "$(cat lens.txt)"
expect 0 $X --mask "$F/mask.png" --condition '' --condition 'vision: part <- image' --json >cut.jsonl
[ "$(grep -c '"ranks"' cut.jsonl)" -ge 2 ] || fail "$(cat cut.jsonl)"
[ "$(grep '"depth": *2' cut.jsonl | grep -o '"ranks":.*' | sort -u | wc -l)" -ge 2 ] ||
    fail "a cut in the encoder changes nothing"
expect 2 $X --mask "$F/mask.png" --condition 'lm: question <- part' 2>err
grep -q 'part has no meaning on the lm stack: this model.s image tokens are learned queries' err ||
    fail "$(cat err)"
expect 2 $X --condition 'lm: question <- dilate(image, 1)' 2>err
grep -q 'a neighbourhood has no meaning on the lm stack' err || fail "$(cat err)"
expect 2 $X --condition 'lm: question <- row_last' 2>err
grep -q 'row_last has no meaning on the lm stack' err || fail "$(cat err)"
expect 1 $X -o lens.png 2>err
grep -q 'so none stands for a patch and a picture of words at patches cannot be had' err ||
    fail "$(cat err)"
expect 0 tapetum generate "$F/xgen-mm" "$I" --prompt 'What is this?' --condition 'lm: gen <- image' \
    >answer.txt
expect 0 tapetum check "$F/xgen-mm"

# the three words that its code adds, whether the whole model is opened or its tokenizer alone
echo '{"text": "a <image><|endofchunk|>"}' | tapetum tokenize "$F/xgen-mm" >ids 2>err
grep -q ' 454 456$' ids || fail "$(cat ids)"
[ ! -s err ] || fail "$(cat err)"
echo '{"ids": [455]}' | tapetum tokenize "$F/xgen-mm" --decode >text
grep -qx '<image placeholder>' text || fail "$(cat text)"
mkdir alone
cp "$F/xgen-mm/tokenizer.json" alone
echo '{"text": "<image>"}' | tapetum tokenize alone >ids 2>err
! grep -q 454 ids || fail "$(cat ids)"
grep -q "words that a model's own code may add are not known: .*holds no config.json" err || fail "$(cat err)"

# its two tables of words become one: 457 words of 24 numbers in bf16, twice, and a bias
tapetum inspect "$F/xgen-mm" --json | grep -q '"copied_bytes": *44786,' || fail "copied bytes"
grep -q 'of tables are copied' xgen-mm.txt || fail "$(cat xgen-mm.txt)"
! grep -q 'are copied' llava-next.txt || fail "$(cat llava-next.txt)"

# version 1: what the latents are depends on the question; the encoder does not see it
grep -q 'read the first 256 tokens of the prompt too' xgen-mm-1.txt || fail "$(cat xgen-mm-1.txt)"
for case in xgen-mm:vision.depth.2:7680:same xgen-mm:projector.out:2400:same \
    xgen-mm-1:vision.depth.2:7680:same xgen-mm-1:projector.out:2400:other; do
    IFS=: read -r name site n_bytes want <<X
$case
X
    for question in This That; do # the numbers alone; the file says its prompt too
        tapetum trace "$F/$name" "$I" --prompt "<image> $question?" --sites "$site" -o t.safetensors >/dev/null
        tail -c "$n_bytes" t.safetensors >"$question.bytes"
    done
    cmp -s This.bytes That.bytes && found=same || found=other
    [ "$found" = "$want" ] || fail "$name under two questions: $site is the $found"
done
expect 0 tapetum generate "$F/xgen-mm-1" "$I" --prompt 'What is this?' --condition 'lm: gen <- image' \
    >answer.txt
expect 0 tapetum check "$F/xgen-mm-1"

# an encoder alone has no words
for name in clip open_clip siglip; do
    expect 1 tapetum lens "$F/$name" "$I" --label ear 2>err
    grep -q 'vision encoder without a decoder' err || fail "$name: $(cat err)"
    expect 1 tapetum generate "$F/$name" "$I" --prompt 'What?' 2>err
    grep -q 'vision encoder without a decoder' err || fail "$name: $(cat err)"
done

# what is not a model of a family
mkdir other
echo x >other/model.gguf
expect 1 tapetum inspect other 2>err
grep -q 'holds no config.json' err && grep -q 'families: llava-1.5' err || fail "$(cat err)"
echo '{"model_type": "qwen2_vl"}' >other/config.json
expect 1 tapetum inspect other 2>err
grep -q "model_type found, 'qwen2_vl'; families: llava-1.5" err || fail "$(cat err)"
mkdir fused
cp "$F"/prismatic/tokenizer.json fused
sed 's/clip-vit-l-336px/dinosiglip-vit-so-384px/' "$F/prismatic/config.json" >fused/config.json
expect 1 tapetum inspect fused 2>err
grep -q "'dinosiglip-vit-so-384px'; towers that fuse two encoders" err || fail "$(cat err)"

# an index that names a tensor which is not there
cp -R "$F/llava-next-mistral" broken
sed 's/"weight_map": {/&"ghost.weight": "model-00001-of-00002.safetensors",/' \
    "$F/llava-next-mistral/model.safetensors.index.json" >broken/model.safetensors.index.json
expect 1 tapetum inspect broken 2>err
grep -q "places tensor 'ghost.weight' in 'model-00001-of-00002.safetensors', which does not" err ||
    fail "$(cat err)"

# an experiment counts image tokens, not patches of the encoder: every part of these scenes is
# seen, whatever the family merges, tiles or cuts off
scenes 40
for name in llava-next smolvlm phi-3-vision; do
    cat >e.yaml <<Y
schema: 1
model: $F/$name
data: {format: masks, images: $D/scenes, annotations: items.tsv, parts: {min_area_px: 12}}
labels: {multi_token: first_piece}
conditions: {clean: "", off: "vision: image <- image"}
controls: [shifted_mask, random_patches]
Y
    expect 0 tapetum run e.yaml -o "$name.db" -q
    tapetum export "$name.db" item --format jsonl >items.jsonl
    found=$(grep -c '"excluded": *null' items.jsonl || true)
    [ "$found" -eq 39 ] || fail "$name: $found of 39 parts have a patch"
done
sed "s|^model: .*|model: $F/xgen-mm|" e.yaml >x.yaml
expect 1 tapetum run x.yaml -o x.db -q 2>err
grep -q 'an experiment, which reads words at the patches of parts, cannot be had' err || fail "$(cat err)"
