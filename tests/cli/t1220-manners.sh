# Manners: what is wrong is named, output goes where it belongs, an interrupt saves.
expect 2 tapetum lense 2>err
grep -q "did you mean 'lens'" err || fail "no suggestion: $(cat err)"
expect 2 tapetum stats x.db --resample 3 2>err
grep -q "did you mean '--resamples'" err || fail "no suggestion: $(cat err)"
expect 2 tapetum --json lens 2>/dev/null
expect 0 tapetum --help >help
expect 0 tapetum lens -h >help
head -n 12 help | grep -q 'tapetum lens MODEL' || fail "examples do not come first"
expect 0 tapetum --version >version
grep -q "^tapetum $(cat "$ROOT/VERSION")\$" version || fail "version: $(cat version)"
expect 1 tapetum stats nothing.db --json 2>err >out
[ ! -s out ] || fail "an error on stdout"
grep -q '"code":"TAP_EIO"' err || fail "no JSON on stderr: $(cat err)"

scenes 1000
cat >e.yaml <<Y
schema: 1
model: $D/random
data: {format: masks, images: $D/scenes, annotations: items.tsv, parts: {min_area_px: 12}}
conditions: {clean: "", encoder_off: "vision: image <- image|cls", decoder_off: "lm: image <- image"}
stats: {metrics: [log_rank], bootstrap: 100, seed: 1}
Y
expect 0 tapetum run e.yaml --dry-run >plan
grep -q 'GFLOP' plan || fail "no cost: $(cat plan)"
grep -q '^memory: ' plan || fail "no memory: $(cat plan)"
grep -q '^time: about .* GFLOP/s' plan || fail "no time: $(cat plan)"
expect 0 tapetum run e.yaml --dry-run --json >plan.json
grep -q '"seconds":' plan.json || fail "no seconds: $(cat plan.json)"
[ ! -e results.db ] || fail "a dry run wrote a database"

# quiet is quiet, and a pipe gets no redrawn line
expect 0 tapetum run e.yaml -o q.db -q 2>err >out
[ ! -s err ] && [ ! -s out ] || fail "-q says something: $(cat err out)"
expect 0 tapetum run e.yaml -o v.db -v 2>err
grep -q 'in the model' err || fail "-v says no more: $(cat err)"
if grep -q "$(printf '\r')" err; then fail "a redrawn line in a pipe"; fi

# the first interrupt finishes the image in hand, saves and says so; the same command goes on
interrupted=0
for delay in 0.05 0.1 0.2 0.4 0.8; do
    rm -f i.db*
    "$TAPETUM" run e.yaml -o i.db --memory 40M --threads 1 2>err &
    pid=$!
    sleep $delay
    kill -INT $pid 2>/dev/null || true
    set +e
    wait $pid
    code=$?
    set -e
    if [ $code -eq 130 ] && grep -q 'stopped after' err; then
        interrupted=1
        break
    fi
done
if [ $interrupted -eq 1 ]; then
    grep -q 'finishing the image in hand' err || fail "the interrupt is not answered: $(cat err)"
    [ ! -e i.db-wal ] || fail "a log is left beside a saved database"
    expect 0 tapetum run e.yaml -o i.db -q
    for table in image item score rank; do
        tapetum export q.db $table --format jsonl >q.txt
        tapetum export i.db $table --format jsonl >i.txt
        cmp q.txt i.txt || fail "rows of $table differ after an interrupt"
    done
fi
