# The demo on the trained subject: the 2x2, controls, curves and a page; what was measured lies
# within bounds, not at exact values.
case $TAPETUM in */san-*) skip "minutes under sanitizers; the same code runs in t1000" ;; esac
D=$ROOT/share/organism
expect 0 tapetum demo -o d --data "$D" -q >demo.txt
grep -q 'may not show' demo.txt || fail "the demo does not say what its model may not show"
[ -s d/report.html ] || fail "no page"

# value NAME: the number after "NAME": {"value": in S, macro, at the last depth
tapetum stats d/trained.db --json >stats.jsonl
value() {
    awk -v name="$1" '
        /"average": *"macro"/ && /"metric": *"log_rank"/ && /"depth": *6[,}]/ {
            if (match($0, "\"" name "\": *\\{[^}]*\"value\": *-?[0-9.e-]+")) {
                text = substr($0, RSTART, RLENGTH)
                sub(/.*: */, "", text)
                print text
            }
        }' stats.jsonl | head -1
}
within() { # WHAT FOUND LOW HIGH
    awk -v x="$2" -v low="$3" -v high="$4" 'BEGIN { exit !(x != "" && x + 0 >= low && x + 0 <= high) }' ||
        fail "$1 is '$2', expected $3 to $4"
}
within "S clean" "$(value clean)" 0.85 0.97
within "S with the encoder cut" "$(value encoder_off)" 0.65 0.85
within "S with the decoder cut" "$(value decoder_off)" 0.75 0.92
within "S with both cut" "$(value both_off)" 0.65 0.85
within "R" "$(value R)" -0.3 0.4
tapetum export d/trained.db control_result --format csv >control.csv
for control in shifted_mask other_part random_patches blank_image mismatched_image permuted_labels object_name words; do
    grep -q "$control" control.csv || fail "no rows of the control $control"
done
