# The arithmetic of the products is chosen, named in every manifest, and its bits do not
# depend on threads. A processor without bf16 products says so and computes in f32.
D=$ROOT/share/organism
M=$D/random
I=$D/scenes/000.png
name=bf16
expect 0 tapetum trace "$M" "$I" --sites lm.depth.last --compute bf16 -o b.safetensors 2>said
if grep -q 'no products in bf16' said; then name=f32; fi
head -c 4000 b.safetensors | grep -q "\"compute\": *\"$name\"" || fail "the trace does not name $name"
expect 0 tapetum trace "$M" "$I" --sites lm.depth.last -o f.safetensors
head -c 4000 f.safetensors | grep -q '"compute": *"f32"' || fail "the trace does not name f32"
for n in 1 2 5; do
    expect 0 tapetum lens "$M" "$I" --label head --compute bf16 --threads $n --json 2>/dev/null >b$n
    cmp b1 b$n || fail "bf16 on $n threads gives other ranks"
done
expect 0 tapetum lens "$M" "$I" --label head --json >f1
if [ $name = bf16 ]; then
    cmp -s b1 f1 && fail "bf16 and f32 give the same ranks everywhere: is bf16 used?"
fi
expect 2 tapetum lens "$M" "$I" --label head --compute f64 2>said
grep -q f32 said || fail "the message does not say what may be asked"

# a database holds one arithmetic: the other one is refused and nothing is written
scenes 8
cat >e.yaml <<Y
schema: 1
model: $M
data: {format: masks, images: $D/scenes, annotations: items.tsv}
conditions: {clean: ""}
Y
expect 0 tapetum run e.yaml -o r.db --compute bf16 -q
expect 0 tapetum export r.db manifest --format csv >manifest.csv
grep -q "^model.compute,$name" manifest.csv || fail "the manifest does not name $name"
if [ $name = bf16 ]; then
    expect 2 tapetum run e.yaml -o r.db -q 2>said
    grep -q model.compute said || fail "resuming in f32 is not refused: $(cat said)"
fi

# what it does to ranks, S, R and CI is measured on this model
expect 0 tapetum check "$M" "$I" --compute bf16 --json 2>/dev/null >check.jsonl
expect 0 tapetum check "$M" "$I" --compute bf16 2>/dev/null >check.txt
if [ $name = bf16 ]; then
    [ "$(grep -c '"arithmetic":"bf16"' check.jsonl)" -eq 5 ] || fail "not a line for each depth"
    grep '"depth":4' check.jsonl | grep -q '"shift_95":[0-9.]*[1-9]' || fail "no shift of ranks"
    grep -q '^bf16 against f32: ranks of 16 words' check.txt || fail "no table: $(cat check.txt)"
else
    grep -q arithmetic check.jsonl && fail "f32 is compared with itself"
fi
