# The real photographs of Pascal-Part, where they lie beside the tree, through `run`.
P=$ROOT/../shared/data/parts-samples/pascal-part
[ -d "$P" ] || skip "no Pascal-Part samples beside the tree"
cat >e.yaml <<Y
schema: 1
model: $ROOT/share/organism/random
data:
  format: pascal-part
  images: $P/images
  annotations: $P/annotations
conditions:
  clean: ""
  encoder_off: "vision: image <- image|cls"
  decoder_off: "lm: image <- image"
  both_off: [encoder_off, decoder_off]
design: {clean: clean, encoder_off: encoder_off, decoder_off: decoder_off, both_off: both_off}
stats: {metrics: [log_rank], bootstrap: 50, seed: 1}
Y
expect 0 tapetum items e.yaml --json >items.jsonl
tail -n +2 "$P/expected.tsv" | awk -F'\t' '$7 >= 0 { print $1, $4, $5, $8, $9 }' | sort >want
sed 's/.*"image": *"\([^"]*\)".*"object_id": *\([0-9]*\).*"object": *"\([^"]*\)".*"part": *"\([^"]*\)".*"area_px": *\([0-9]*\).*/\1 \2 \3 \4 \5/' \
    items.jsonl | sort >found
cmp want found || fail "parts or areas differ from the table"
expect 0 tapetum run e.yaml -o r.db -q
expect 0 tapetum export r.db item --format jsonl >item.jsonl
n_items=$(wc -l <item.jsonl)
n_excluded=$(grep -vc '"excluded": *null' item.jsonl)
n_patches=$(sed -n 's/.*"n_patches": *\([0-9]*\).*/\1/p' item.jsonl | awk '{ n += $1 } END { print n }')
found="$n_items items, $n_excluded excluded, $n_patches patches"
[ "$found" = "325 items, 42 excluded, 749 patches" ] || fail "found $found"
