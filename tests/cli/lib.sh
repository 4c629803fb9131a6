# For the scripts in this folder: sourced by tests/run before each, in a scratch folder.
#   TAPETUM  the command under test     ROOT  the source tree
#   expect CODE COMMAND...   runs it and fails unless it exits with CODE
#   refused WORDS COMMAND... fails unless it exits with 1 or 2 and one sentence with these words
#   need COMMAND...          skips the test when a command is missing
#   scenes N                 items.tsv here: the first N lines of the embedded scenes' table,
#                            with their masks; D is the folder of subjects and scenes
#   small_database           one.db of a small experiment on them, e.yaml
set -eu

expect() {
    expect_code=$1
    shift
    set +e
    "$@"
    expect_found=$?
    set -e
    if [ "$expect_found" -ne "$expect_code" ]; then
        echo "expected exit code $expect_code, found $expect_found: $*" >&3
        exit 1
    fi
}

fail() {
    echo "$*" >&3
    exit 1
}

skip() {
    echo "$*" >&3
    exit 77
}

need() {
    for need_name; do
        command -v "$need_name" >/dev/null || skip "no $need_name here"
    done
}

tapetum() {
    "$TAPETUM" "$@"
}

refused() {
    refused_words=$1
    shift
    set +e
    "$@" >out 2>err </dev/null
    refused_code=$?
    set -e
    [ "$refused_code" -eq 1 ] || [ "$refused_code" -eq 2 ] || fail "exit code $refused_code: $*"
    grep -qF -- "$refused_words" err || fail "'$refused_words' is not in: $(cat err)"
    [ "$(wc -l <err)" -le 2 ] || fail "more than one sentence: $(cat err)"
}

scenes() {
    D=$ROOT/share/organism
    head -"$1" "$D/scenes/items.tsv" >items.tsv
    for scenes_mask in "$D"/scenes/*.parts.png; do ln -s "$scenes_mask" .; done
}

small_database() {
    scenes 60
    cat >e.yaml <<Y
schema: 1
model: $D/random
data: {format: masks, images: $D/scenes, annotations: items.tsv, parts: {min_area_px: 12}}
conditions:
  clean: ""
  decoder_off: "lm: image <- image"
controls: [random_patches, object_name, permuted_labels_global]
readout: {top_words: 2, top_depths: [0, last], thumbnail_px: 48}
stats: {bootstrap: 100}
Y
    expect 0 tapetum run e.yaml -o one.db -q
}
