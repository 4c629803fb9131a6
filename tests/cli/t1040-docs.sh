# What the documents list is what the command knows.
expect 0 tapetum conditions --markdown >tables
sed '1,/^What follows is printed by `tapetum conditions --markdown`/d' "$ROOT/docs/conditions.md" |
    sed 1d | diff - tables >difference || fail "docs/conditions.md is not what the command prints: $(head -5 difference)"
[ "$(grep -c '^| `' tables)" -eq "$(tapetum conditions --json | wc -l)" ] || fail "names are missing"
tapetum --help | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p' | sort -u >commands
tapetum help --man >man
while read -r command; do
    grep -q "$command" man || fail "the man page lacks $command"
    expect 0 tapetum "$command" --help >help
    [ "$(wc -l <help)" -le 60 ] || fail "help of $command is long"
done <commands
for shell in bash zsh fish; do
    tapetum help --completion $shell >completion
    grep -q lens completion || fail "no lens in the $shell completion"
done
