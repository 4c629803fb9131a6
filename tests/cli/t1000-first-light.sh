# The whole experiment on a few embedded scenes: run, stats, export, and the same rows again
# after kill -9, in shards, with other threads and without sharing.
scenes 60
cat >e.yaml <<Y
schema: 1
model: $D/random
data: {format: masks, images: $D/scenes, annotations: items.tsv, parts: {min_area_px: 12}}
conditions:
  clean: ""
  encoder_off: "vision: image <- image|cls"
  decoder_off: "lm: image <- image"
  both_off: [encoder_off, decoder_off]
  part: "lm[1-]: part <- outside scale 0.5"
design: {clean: clean, encoder_off: encoder_off, decoder_off: decoder_off, both_off: both_off}
controls: [shifted_mask, other_part, random_patches, blank_image, mismatched_image, permuted_labels,
  permuted_labels_global, object_name, words]
stats: {metrics: [log_rank, mrr, "hit@1", "hit@10"], bootstrap: 100, seed: 1}
Y
# masks are named relative to the table
tables="image thumbnail patch item outline condition label_form score control_set control rank token top_word receipt depth"
dump() {
    for table in $tables; do tapetum export "$1" "$table" --format jsonl; done
}
expect 0 tapetum run e.yaml -o one.db --threads 1 -q
dump one.db >one.txt
[ "$(wc -l <one.txt)" -gt 500 ] || fail "too few rows: $(wc -l <one.txt)"
expect 0 tapetum run e.yaml -o three.db --threads 3 --no-share -q
dump three.db >three.txt
cmp one.txt three.txt || fail "threads or sharing change rows"

# rows nobody reads leave receipts when they are computed, and change nothing else
expect 0 tapetum run e.yaml -o whole.db --no-skip -q
for table in item score rank; do
    tapetum export one.db $table --format jsonl >skipped.txt
    tapetum export whole.db $table --format jsonl >whole.txt
    cmp skipped.txt whole.txt || fail "skipping rows changes the table $table"
done

# killed again and again, then finished
for delay in 0.1 0.2 0.3 0.5; do
    "$TAPETUM" run e.yaml -o killed.db -q &
    pid=$!
    sleep $delay
    kill -9 $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
done
expect 0 tapetum run e.yaml -o killed.db -q
dump killed.db >killed.txt
cmp one.txt killed.txt || fail "an interrupted run has other rows"
expect 0 tapetum run e.yaml -o killed.db -q # nothing left to do

# shards
expect 0 tapetum run e.yaml -o s0.db --shard 0/2 -q
expect 0 tapetum run e.yaml -o s1.db --shard 1/2 -q
tapetum stats s0.db | grep -q 'not all: the data have [0-9]* images' || fail "a shard passes for the whole run"
expect 0 tapetum report s0.db -o part.html -q
grep -q 'Not all: [0-9]* of the [0-9]* images' part.html || fail "a shard's page passes for the whole run's"
expect 0 tapetum merge -o all.db s0.db s1.db -q
dump all.db >all.txt
cmp one.txt all.txt || fail "shards have other rows"

expect 0 tapetum stats one.db --json >stats.jsonl
grep -q '"metric": *"log_rank"' stats.jsonl || fail "no log_rank in stats"
grep -q '"R"' stats.jsonl || fail "no R in stats"
expect 0 tapetum stats one.db >stats.txt
if grep -q 'not all:' stats.txt; then fail "a whole run passes for a part of it"; fi
expect 0 tapetum report one.db -o whole.html -q
if grep -q 'Not all: ' whole.html; then fail "a whole run's page passes for a part's"; fi
grep -q 's01 encoder off' stats.txt || fail "no cells in the table"

# another experiment's database is refused and left alone
sed 's/scale 0.5/scale 0.25/' e.yaml >other.yaml
dump one.db >before.txt
expect 2 tapetum run other.yaml -o one.db -q 2>err
dump one.db | cmp - before.txt || fail "the database was touched"
