# The dry run states FLOPs and memory; what does not fit is refused before anything is
# written, with need and have.
scenes 8
cat >e.yaml <<Y
schema: 1
model: $D/random
data: {format: masks, images: $D/scenes, annotations: items.tsv}
conditions: {clean: "", encoder_off: "vision: image <- image|cls", decoder_off: "lm: image <- image"}
Y
number() { sed -n "s/.*\"$1\": *\\([0-9.]*\\).*/\\1/p" "$2"; }
expect 0 tapetum run e.yaml --dry-run --json >plan.json
expect 0 tapetum run e.yaml -o r.db --json -q >done.json
[ "$(number gflop plan.json)" = "$(number gflop done.json)" ] ||
    fail "the dry run states $(number gflop plan.json) GFLOP, the run did $(number gflop done.json)"
state=$(number state_bytes plan.json)
[ "$state" -le "$(number memory_bytes plan.json)" ] || fail "one image is said not to fit"
expect 1 tapetum run e.yaml --memory 1M --dry-run 2>said
grep -q 'MiB allowed; give a larger --memory' said || fail "not refused: $(cat said)"
expect 1 tapetum run e.yaml --memory 1M -o small.db -q 2>said
grep -q 'needs .* MiB beside the mapped weights' said || fail "not refused: $(cat said)"
# the least that is stated is enough, and changes no row
expect 0 tapetum run e.yaml --memory "$state" -o least.db -q
for table in score rank; do
    tapetum export r.db $table >a.csv
    tapetum export least.db $table >b.csv
    cmp a.csv b.csv || fail "--memory changes the table $table"
done

# what is out of reach is not computed; measures over the whole image read every patch
more() { awk -v a="$(number gflop "$1")" -v b="$(number gflop "$2")" 'BEGIN { exit !(a > b) }'; }
expect 0 tapetum run e.yaml --dry-run --no-skip --json >whole.json
more whole.json plan.json || fail "--no-skip computes no more: $(cat whole.json)"
sed 's/^conditions:/readout: {locate: [auc]}\n&/' e.yaml >located.yaml
expect 0 tapetum run located.yaml --dry-run --json >located.json
more located.json plan.json || fail "reading every patch costs nothing: $(cat located.json)"
