# Every option of `lens`: what it reads, what it ranks, and what it refuses.
D=$ROOT/share/organism
M=$D/random
I=$D/scenes/000.png
K=$D/scenes/000.parts.png
G=$ROOT/tests/golden/llava
ranks() { # DEPTH FILE: the ranks at that depth, one line per form
    grep "\"depth\":$1," "$2" | sed 's/.*"form":"\([^"]*\)".*"ranks":\(\[[^]]*\]\).*/\1 \2/'
}
expect 0 tapetum lens "$M" "$I" --label head --json >plain
expect 0 tapetum lens "$M" "$I" --label head --readout head --json >exit
grep -q '"readout":"head"' exit || fail "the readout is not named"
ranks 0 plain >a
n=$(tapetum inspect "$M" --json | sed 's/.*"vision_blocks_read": *\([0-9]*\).*/\1/')
ranks "$n" exit >b
cmp a b || fail "the last exit of the encoder is not depth 0 of the decoder"
for readout in value key embed; do
    expect 0 tapetum lens "$M" "$I" --label head --readout $readout --json >other
    cmp -s plain other && fail "$readout reads the residual stream"
done
grep -q '"depth"' other || fail "no depths for embed"
expect 0 tapetum lens "$M" "$I" --label head --readout value --json | grep -q '"block":3' ||
    fail "no blocks for value"
expect 0 tapetum lens "$M" "$I" --label head --norm none --json >none
cmp -s plain none && fail "--norm none changes nothing"

# the same ranks whichever way a single token is asked for
expect 0 tapetum lens "$M" "$I" --label head --top 2 --json >top
grep '"label"' top | cmp - plain || fail "ranks differ with --top"
grep -c '"top":\[\[{"token_id":' top >count
[ "$(cat count)" -eq "$(grep -c '"form":"space"' plain)" ] || fail "not one top per depth"
grep '"top"' top | head -1 | sed 's/.*"top":\[\[//; s/\]\].*//' | tr '{' '\n' |
    sed -n 's/.*"p":\([0-9.e-]*\).*/\1/p' | head -2 | sort -rg >sorted
[ "$(wc -l <sorted)" -eq 2 ] || fail "not two words"
awk '$1 <= 0 || $1 > 1 { exit 1 }' sorted || fail "p out of (0, 1]"
expect 0 tapetum lens "$M" "$I" --top 2 --mask "$K" >top.txt
grep -q 'row .* col ' top.txt || fail "no patches in the table"

for policy in first_piece best_piece sequence; do
    expect 0 tapetum lens "$M" "$I" --label chimneysweeper --multi-token $policy --json >$policy
    grep -q '"token_id":null' $policy || fail "no form of several tokens under $policy"
done
cmp -s first_piece sequence && fail "sequence is the first piece"

expect 0 tapetum lens "$M" "$I" --label head --candidates tail,leg,head --json >closed
grep -q '"n_candidates":3' closed || fail "not three candidates"
sed 's/.*"ranks":\[//; s/\].*//' closed | tr ',' '\n' | sort -un >values
[ "$(head -1 values)" = 1.0 ] && [ "$(tail -1 values)" = 3.0 ] || fail "ranks are not 1 to 3"

expect 0 tapetum lens "$G/gqa" "$G/photo.png" --label ear --translator "$G/gqa/translator.safetensors" --json >tuned
expect 0 tapetum lens "$G/gqa" "$G/photo.png" --label ear --json >ear
ranks 3 tuned >a
ranks 3 ear >b
cmp a b || fail "a translator changes the last depth, for which it has none"
ranks 1 tuned >a
ranks 1 ear >b
cmp -s a b && fail "a translator changes nothing"

refused "it does not go with --readout head" tapetum lens "$M" "$I" --label head --readout head \
    --translator "$G/gqa/translator.safetensors"
refused "it holds no tensor called 'D.weight'" tapetum lens "$M" "$I" --label head \
    --translator "$M/model.safetensors"
refused "it belongs to another model" tapetum lens "$M" "$I" --label head \
    --translator "$G/gqa/translator.safetensors"
refused "with commas between them" tapetum lens "$M" "$I" --candidates tail,,leg
refused "say with --multi-token" tapetum lens "$M" "$I" --candidates tail,chimneysweeper
refused "did you mean 'value'?" tapetum lens "$M" "$I" --label head --readout vallue
