# What a sweep stores is what `lens` prints: one part of two photographs, every state and candidate set,
# and labels of several tokens; then stats, export and report of it.
D=$ROOT/share/organism
M=$D/random
printf 'image\tmask\tobject\tpart\n' >items.tsv
for i in 000 001; do
    ln -s "$D/scenes/$i.parts.png" "$D/scenes/$i.png" .
    printf '%s.png\t%s.parts.png\tcar\thead\n' $i $i >>items.tsv
    printf '%s.png\t%s.parts.png\tcar\ttail\n' $i $i >>items.tsv
    printf '%s.png\t%s.parts.png\tcar\tchimneysweeper\n' $i $i >>items.tsv
done
C='vision: image <- image|cls'
experiment() { # MULTI_TOKEN READOUT
    cat >e.yaml <<Y
schema: 1
model: $M
data: {format: masks, images: ., annotations: items.tsv}
labels: {synonyms: none, multi_token: $1}
conditions: {clean: "", cut: "$C"}
controls: [random_patches]
readout: {thumbnail_px: 0, top_words: 0, $2}
stats: {bootstrap: 50}
Y
    rm -f r.db
    expect 0 tapetum run e.yaml -o r.db -q --threads 1
}
# the best rank of a label under both conditions at every depth, from the database and from lens
stored() { # LABEL
    tapetum export r.db result --format csv |
        awk -F, -v l="$1" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
            $at["label"] == l { print $at["image"], $at["condition"], $at["depth"], $at["best_rank"] + 0 }' | sort
}
lens() { # LABEL OPTIONS...: the best of all forms
    label=$1
    shift
    for i in 000 001; do
        tapetum lens "$M" $i.png --mask $i.parts.png --label "$label" --condition '' --condition "$C" \
            --threads 1 --json "$@" |
            sed 's/.*"condition":"\([^"]*\)".*"\(depth\|block\)":\([0-9]*\).*"best":\([0-9.]*\).*/\1|\3|\4/' |
            awk -F'|' -v i=$i.png '{ key = i " " ($1 == "" ? "clean" : "cut") " " $(NF - 1)
                if (!(key in best) || $NF + 0 < best[key]) best[key] = $NF + 0 }
                END { for (key in best) print key, best[key] }'
    done | sort
}
same() { # LABEL OPTIONS...
    stored "$1" >a
    lens "$@" >b
    [ -s a ] || fail "nothing stored of $1"
    cmp a b || fail "lens and run differ: $* ($(diff a b | head -4))"
}
experiment skip "locate: [auc, gap]"
same head
experiment skip "state: head"
same tail --readout head
experiment skip "state: value, norm: none"
same head --readout value --norm none
experiment skip "state: key"
same tail --readout key
experiment skip "matrix: embed"
same head --readout embed
experiment sequence "locate: [gap]"
same chimneysweeper --multi-token sequence
same head --multi-token sequence
experiment skip "candidates: parts"
same head --candidates head,tail
experiment sequence "candidates: own_parts, locate: [gap]"
same tail --multi-token sequence --candidates head,tail,chimneysweeper

# everything that reads a database knows the sets and what was located
expect 0 tapetum stats r.db >stats.txt
grep -q 'ranks among 3 part names of the same object class' stats.txt || fail "stats does not name the set"
grep -q '^gap ' stats.txt || fail "no gap in the tables"
expect 0 tapetum stats r.db --json | grep -q '"measure":"gap"' || fail "no gap in JSON"
tapetum export r.db candidate --format csv >candidates
[ "$(wc -l <candidates)" -eq 4 ] || fail "not three names: $(cat candidates)"
tapetum export r.db result_long --format csv | grep -q ',gap,' || fail "no gap in long form"
expect 0 tapetum report r.db -o r.html -q
grep -q 'Inside the part against outside' r.html || fail "the page lacks the gap"
grep -q 'the last of 3 part names of the same object class' r.html || fail "the page does not name the set"
expect 0 tapetum run e.yaml --dry-run >dry
grep -q 'ranks: among 3 part names of the same object class at most; labels of several tokens: sequence; located at every image token: gap' dry ||
    fail "the dry run does not say what is read: $(cat dry)"
# shards know the sets of all images; a run that goes on has the rows of one that ran through
for i in 0 1; do
    expect 0 tapetum run e.yaml -o part$i.db --shard $i/2 -q
done
expect 0 tapetum merge -o whole.db part1.db part0.db -q
for table in candidate item score control rank result; do
    tapetum export r.db $table --format csv >a
    tapetum export whole.db $table --format csv >b
    cmp a b || fail "merged shards differ in $table"
done
cp part0.db rest.db
expect 0 tapetum run e.yaml -o rest.db -q
tapetum export r.db score --format csv >b
tapetum export rest.db score --format csv | cmp - b || fail "a run that goes on differs"
# another set is another experiment
printf '001.png\t001.parts.png\tcar\twheel\n' >>items.tsv
expect 2 tapetum run e.yaml -o r.db -q 2>err
grep -q 'holds another experiment' err || fail "a grown set is not seen: $(cat err)"
# rows that nobody compares are not run
experiment skip "locate: [auc]"
tapetum run e.yaml --dry-run --json | sed 's/.*"gflop":\([0-9.]*\).*/\1/' >all
experiment skip "depths: all"
tapetum run e.yaml --dry-run --json | sed 's/.*"gflop":\([0-9.]*\).*/\1/' >some
[ "$(cat all some | sort -g | head -1)" = "$(cat some)" ] && ! cmp -s all some || fail "locating costs nothing"
