# Random text and random ids against the reference library, where a Python has it (PYTHON).
python=${PYTHON:-python3}
"$python" -c 'import tokenizers' 2>/dev/null || skip "no Python with the tokenizers library (set PYTHON)"
found=$ROOT/tests/golden/tokenizers/*.json
for name in phi-3-vision llama3 clip; do
    [ ! -f "$ROOT/../shared/data/tokenizers/$name/tokenizer.json" ] ||
        found="$found $ROOT/../shared/data/tokenizers/$name/tokenizer.json"
done
# shellcheck disable=SC2086 # one word per file
"$python" "$ROOT/tools/compare_tokenizers.py" "$TAPETUM" $found --cases 400
