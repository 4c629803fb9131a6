# The demo on the embedded pair: the 2x2, controls, curves, a page, and the pair told apart; what was measured lies
# within bounds, not at exact values.
case $TAPETUM in */san-*) skip "minutes under sanitizers; the same code runs in t1000" ;; esac
D=$ROOT/share/organism
expect 0 tapetum demo -o d --data "$D" -q >demo.txt
grep -q 'may not show' demo.txt || fail "the demo does not say what its models may not show"
verdict="The decoder of 'compensating' makes up for more of the encoder than that of 'non-compensating'"
grep -q "$verdict" demo.txt || fail "the pair is not told apart: $(tail -6 demo.txt)"
grep -q "makes up for more of the encoder than that of" d/report.html || fail "the page does not tell the pair apart"
[ -s d/report.html ] || fail "no page"

# value SUBJECT NAME: the number after "NAME": {"value": in S, macro, at the last depth
value() {
    tapetum stats d/$1.db --json | awk -v name="$2" '
        /"average": *"macro"/ && /"metric": *"log_rank"/ && /"depth": *6[,}]/ {
            if (match($0, "\"" name "\": *\\{[^}]*\"value\": *-?[0-9.e-]+")) {
                text = substr($0, RSTART, RLENGTH)
                sub(/.*: */, "", text)
                print text
            }
        }' | head -1
}
within() { # SUBJECT NAME LOW HIGH
    found=$(value "$1" "$2")
    awk -v x="$found" -v low="$3" -v high="$4" 'BEGIN { exit !(x != "" && x + 0 >= low && x + 0 <= high) }' ||
        fail "$2 of $1 is '$found', expected $3 to $4"
}
within compensating clean 0.88 0.99
within compensating encoder_off 0.85 0.98
within compensating decoder_off 0.75 0.95
within compensating both_off 0.70 0.92
within compensating R 0.5 1.1
within compensating CI 0 1
within non-compensating clean 0.6 0.95
within non-compensating R -0.5 0.4
tapetum export d/compensating.db control_result --format csv >control.csv
for control in shifted_mask other_part random_patches blank_image mismatched_image permuted_labels object_name words; do
    grep -q "$control" control.csv || fail "no rows of the control $control"
done
