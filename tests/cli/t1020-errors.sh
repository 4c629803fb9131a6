# Wrong input: one sentence that names file, expected and found; exit 1 or 2; nothing written.
D=$ROOT/share/organism
M=$D/random
I=$D/scenes/000.png
refused "there is no command 'lense'; did you mean 'lens'?" tapetum lense "$M" "$I"
refused "--labl" tapetum lens "$M" "$I" --labl tail
refused "column 14: unknown group 'imge'; did you mean 'image'?" \
    tapetum lens "$M" "$I" --label tail --condition 'lm: image <- imge'
refused "there is no block 9; the lm stack has 4, 0 to 3" \
    tapetum lens "$M" "$I" --label tail --condition 'lm[9]: image <- image'
refused "needs a mask of the part" \
    tapetum lens "$M" "$I" --label tail --condition 'lm: part <- image'
refused "needs several tokens" tapetum lens "$M" "$I" --label chimneysweeper
refused "no label to look for" tapetum lens "$M" "$I"
printf 'not a picture' >bad.png
refused "'bad.png': it is neither a JPEG nor a PNG file" tapetum lens "$M" bad.png --label tail
head -c 300 "$I" >short.png
refused "short.png" tapetum lens "$M" short.png --label tail
refused "No such file" tapetum lens "$M" none.png --label tail
cp "$ROOT/tests/golden/llava/photo.png" big.png
refused "a mask must have the size of its image" \
    tapetum patches "$M" big.png --mask "$D/scenes/000.parts.png" -o o.png
[ ! -e o.png ] || fail "half-written output"
refused "did you mean 'resid_post'?" tapetum trace "$M" "$I" --sites lm.3.resid_pots -o t.safetensors
[ ! -e t.safetensors ] || fail "half-written trace"

mkdir m
cp "$M"/*.json m
refused "m" tapetum inspect m
head -c 1000 "$M/model.safetensors" >m/model.safetensors
refused "model.safetensors" tapetum inspect m
cp "$M/model.safetensors" m
sed 's/"model_type": *"llava"/"model_type": "llava_next_video"/' "$M/config.json" >m/config.json
refused "llava_next_video" tapetum inspect m
sed 's/"hidden_size": *32/"hidden_size": 64/' "$M/config.json" >m/config.json
refused "config.json implies [64]" tapetum inspect m
rm m/tokenizer.json
cp "$M/config.json" m
refused "holds no tokenizer" tapetum inspect m

cat >e.yaml <<Y
model: $M
data: {format: masks, images: $D/scenes, annotations: $D/scenes/items.tsv}
condtions: {clean: ""}
Y
refused "condtions" tapetum run e.yaml -o r.db
[ ! -e r.db ] || fail "a database was begun"
cat >e.yaml <<Y
schema: 1
model: $M
data: {format: masks, images: $D/scenes, annotations: $D/scenes/items.tsv}
conditions: {clean: "lm: image <-"}
Y
refused "condition 'clean'" tapetum run e.yaml -o r.db
[ ! -e r.db ] || fail "a database was begun"
printf 'image\tmask\nx\ty\n' >bad.tsv
printf 'format: masks\nimages: .\nannotations: bad.tsv\n' >d.yaml
refused "expected a heading" tapetum items d.yaml
