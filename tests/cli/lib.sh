# For the scripts in this folder: sourced by tests/run before each, in a scratch folder.
#   TAPETUM  the command under test     ROOT  the source tree
#   expect CODE COMMAND...   runs it and fails unless it exits with CODE
#   need COMMAND...          skips the test when a command is missing
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
