# Answers: greedy, drawn, under a cut, without an image; templates; what is refused.
D=$ROOT/share/organism
M=$D/random
I=$D/scenes/000.png
expect 0 tapetum generate "$M" "$I" --prompt 'What is this?' --template llava-1.5 -n 6 --json \
    --condition '' --condition 'lm: gen <- image' >two
[ "$(grep -c '"n_prompt"' two)" = 2 ] || fail "two conditions give two answers"
sed -n 1p two | grep -q '"cut":0' || fail "a clean answer with cut edges"
sed -n 2p two | grep -q '"cut":0' && fail "a cut answer without cut edges"
# a phase is the same as naming the rows
expect 0 tapetum generate "$M" "$I" -n 6 --json --condition 'lm: gen <- image' \
    --condition 'lm: question|gen <- image phase decode' --condition 'lm: question <- image' \
    --condition 'lm: question|gen <- image phase prefill' >phases
sed 's/"condition":"[^"]*"//' phases >answers
[ "$(sed -n 1p answers)" = "$(sed -n 2p answers)" ] || fail "phase decode is not the rows of the answer"
[ "$(sed -n 3p answers)" = "$(sed -n 4p answers)" ] || fail "phase prefill is not the rows of the prompt"
[ "$(sed -n 1p answers)" != "$(sed -n 3p answers)" ] || fail "the two phases do the same"
expect 0 tapetum generate "$M" "$I" -n 6 -v >greedy 2>said
grep -q 'bytes for keys and values' said || fail "no word on memory"
expect 0 tapetum generate "$M" "$I" -n 6 >again
cmp greedy again || fail "greedy answers differ"
for seed in 1 2; do
    expect 0 tapetum generate "$M" "$I" -n 12 --temperature 2 --seed $seed >drawn$seed
    expect 0 tapetum generate "$M" "$I" -n 12 --temperature 2 --seed $seed >redrawn
    cmp drawn$seed redrawn || fail "one seed, two answers"
done
if cmp -s drawn1 drawn2; then fail "two seeds, one answer"; fi
expect 0 tapetum generate "$M" "$I" -n 6 --temperature 1 --top-k 1 >top
cmp greedy top || fail "the largest of one is not the largest"
expect 0 tapetum generate "$M" --prompt 'the tail' -n 4 --json >text
grep -q '"end":' text || fail "no answer to text alone"
expect 0 tapetum generate list --template list >templates
grep -q '^vicuna_v1' templates || fail "no list of templates"
refused() {
    what=$1
    shift
    expect 2 tapetum "$@" 2>said
    grep -q "$what" said || fail "'$what' is not in: $(cat said)"
}
refused "no question" generate "$M"
refused "did you mean 'mistral'" generate "$M" "$I" --prompt Q --template mistrl
refused "no meaning without an image" generate "$M" --prompt 'a <image>'
refused "expected 1 to" generate "$M" --prompt "$(printf 'tail %.0s' $(seq 1 3000))"
