# The demo: both subjects, the 2x2, controls and curves; the pair comes out apart; what was
# measured lies within bounds, not at exact values.
expect 0 tapetum demo -o d -q >demo.txt
grep -q "do not overlap: the decoder of 'compensating'" demo.txt || fail "the pair is not told apart: $(tail -3 demo.txt)"
grep -q 'may show' demo.txt || fail "the demo does not say what its models may show"

# value NAME FILE DEPTH: the number after "NAME": {"value":  in S, macro
value() {
    tapetum stats "$2" --json | awk -v depth="$3" -v name="$1" '
        /"average": *"macro"/ && /"metric": *"log_rank"/ && $0 ~ "\"depth\": *" depth "[,}]" {
            if (match($0, "\"" name "\": *\\{[^}]*\"value\": *-?[0-9.e-]+")) {
                text = substr($0, RSTART, RLENGTH)
                sub(/.*: */, "", text)
                print text
            }
        }'
}
within() { # WHAT FOUND LOW HIGH
    awk -v x="$2" -v low="$3" -v high="$4" 'BEGIN { exit !(x != "" && x + 0 >= low && x + 0 <= high) }' ||
        fail "$1 is '$2', expected $3 to $4"
}
a=d/compensating.db b=d/non-compensating.db
within "S clean, compensating" "$(value clean $a 6)" 0.75 1
within "S clean at depth 0" "$(value clean $a 0)" 0.4 0.95
within "encoder damage left by the compensating decoder" "$(value d1 $a 6)" 0.01 0.5
within "R, compensating" "$(value R $a 6)" 0.5 1.1
within "R, non-compensating" "$(value R $b 6)" -0.5 0.6
tapetum export $a control --format csv | grep -q words || fail "no ctl.words rows"
