# check, attention and answer: what they find, against known numbers where there are some.
D=$ROOT/share/organism
M=$D/random
I=$D/scenes/000.png
K=$D/scenes/000.parts.png
G=$ROOT/tests/golden/llava
# everything holds, with a picture and without one; the table has ten rows
expect 0 tapetum check "$M" "$I" --json >check.jsonl
[ "$(grep -c '"verdict":"holds"' check.jsonl)" -eq 10 ] || fail "$(grep -v '"holds"' check.jsonl)"
expect 0 tapetum check "$M" >check.txt
[ "$(grep -c '^ *[0-9]*  holds ' check.txt)" -eq 10 ] || fail "$(cat check.txt)"
expect 0 tapetum check "$G/gqa" "$G/photo.png" --json >gqa.jsonl
[ "$(grep -c '"verdict":"holds"' gqa.jsonl)" -eq 10 ] || fail "$(grep -v '"holds"' gqa.jsonl)"
# and for every family there is a checkpoint of, whatever its tiles
for m in "$G"/../families/*/; do
    case $(basename "$m") in
        clip | open_clip | siglip)
            refused 'encoder alone' tapetum check "$m" "$G/../families/wide.png"
            continue
            ;;
    esac
    expect 0 tapetum check "$m" "$G/../families/wide.png" --json >family.jsonl
    [ "$(grep -c '"verdict":"holds"' family.jsonl)" -ge 9 ] || fail "$m: $(grep -v '"holds"' family.jsonl)"
done
# what a prompt does not have is said, and is no failure
expect 0 tapetum check "$M" "$I" --prompt 'USER: <image>' --json >short.jsonl
grep '"name":"text"' short.jsonl | grep -q '"verdict":"not_here","why":"the prompt has no text after' ||
    fail "$(grep '"name":"text"' short.jsonl)"

# weights of a row sum to 1; a group's sum is the sum of its weights; cut edges weigh 0
expect 0 tapetum attention "$M" "$I" --mask "$K" --queries 'part' --heads 1 --blocks 2 --sum image \
    --condition '' --condition 'lm: part <- image' --json >rows.jsonl
[ "$(grep -c '"head":1,' rows.jsonl)" -eq "$(wc -l <rows.jsonl)" ] || fail "another head"
grep -vq '"block":2,' rows.jsonl && fail "another block"
sed 's/.*"weights":\[\([^]]*\)\].*/\1/' rows.jsonl | tr ',' ' ' | awk '
    { s = 0; for (i = 1; i <= NF; i++) s += $i; if (s < 0.99999 || s > 1.00001) exit 1 }' ||
    fail "a row does not sum to 1"
# a query reads itself and nothing after it: so each row is its own query's
sed 's/.*"query":\([0-9]*\),"weights":\[\([^]]*\)\].*/\1 \2/' rows.jsonl | tr ',' ' ' | awk '
    { if ($($1 + 2) <= 0) exit 1; for (i = $1 + 3; i <= NF; i++) if ($i != 0) exit 1 }' ||
    fail "a row is not that of its query"
grep 'part <- image' rows.jsonl | sed 's/.*"sums":{"image":\([^}]*\)}.*/\1/' >cut
grep '"condition":""' rows.jsonl | sed 's/.*"sums":{"image":\([^}]*\)}.*/\1/' >clean
[ "$(wc -l <cut)" -eq "$(wc -l <clean)" ] && [ -s cut ] || fail "not the same rows"
paste clean cut | awk '$2 >= $1 { exit 1 }' || fail "the cut leaves the weights where they were"
expect 0 tapetum attention "$M" "$I" >table
[ "$(grep -c 'queries 158 to 158' table)" -eq 4 ] || fail "$(cat table)"
expect 0 tapetum attention "$M" "$I" --stack vision --sum cls >table
grep -q ' cls ' table || grep -q 'cls$' table || fail "$(cat table)"
refused "unknown group 'imge'; did you mean 'image'?" tapetum attention "$M" "$I" --queries imge
refused "needs a mask" tapetum attention "$M" "$I" --sum part
refused "are no token here" tapetum attention "$M" "$I" --queries pad
refused "option '--blocks' expects numbers below 4" tapetum attention "$M" "$I" --blocks 4

# log p of each token as the reference gives it
P=$(printf 'USER: <image>\nWhat is the part of this animal? ASSISTANT:')
tab=$(printf '\t')
while IFS=$tab read -r model log_ps condition; do
    expect 0 tapetum answer "$G/$model" "$G/photo.png" --prompt "$P" --answer 'the ear of' \
        --condition "$condition" --json >answer
    sed 's/.*"log_ps":\[\([^]]*\)\].*/\1/; s/,/ /g' answer >found
    echo "$log_ps" | paste -d' ' found - | awk 'NF != 6 { exit 1 }
        { for (i = 1; i <= 3; i++) { d = $i - $(i + 3); if (d < -0.0005 || d > 0.0005) exit 1 } }' ||
        fail "$model '$condition': $(cat found), expected $log_ps"
done <"$G/answers.tsv"
expect 0 tapetum answer "$M" "$I" --answer tail --answer 'a head' --condition '' \
    --condition 'salazar.I_to_last' >table
[ "$(grep -c chosen table)" -eq 2 ] || fail "$(cat table)"
grep -q '^tail .* 0.0%' table || fail "the first condition changes itself"
# generated tokens have a group: a cut of them leaves the first token alone
expect 0 tapetum answer "$M" "$I" --answer 'a head' --condition '' --condition kaduri.image_to_gen --json >gen
sed 's/.*"log_ps":\[\([^],]*\),.*/\1/' gen | uniq | wc -l | grep -q '^ *1$' || fail "$(cat gen)"
sed 's/.*"log_p":\([^,]*\),.*/\1/' gen | uniq | wc -l | grep -q '^ *2$' || fail "gen is not cut"
refused "no answer to weigh" tapetum answer "$M" "$I"

# tokens by group in a trace
expect 0 tapetum trace "$M" "$I" --rows 'part|last' --mask "$K" --sites lm.depth.2 -o r.npy
head -c 128 r.npy | grep -aq "'shape': (25, 32)" || fail "not the part's tokens: $(head -c 128 r.npy)"
refused "unknown group 'prat'" tapetum trace "$M" "$I" --rows prat --sites lm.depth.2 -o x.npy
[ ! -e x.npy ] && [ ! -e x.npy.part ] || fail "a file was begun"
refused "it is done by tapetum lens --readout key" tapetum lens "$M" "$I" --label head \
    --condition liu.read.key
