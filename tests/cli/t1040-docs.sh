# What the documents list is what the command knows.
tapetum conditions --json | sed 's/.*"name": *"\([^"]*\)".*/\1/' >names
while read -r name; do
    grep -qF "| \`$name\` |" "$ROOT/docs/conditions.md" || fail "docs/conditions.md lacks $name"
done <names
[ "$(grep -c '^| `[a-z]*[._]*[a-z_+.]*` | \(`\|(empty)\)' "$ROOT/docs/conditions.md")" -ge "$(wc -l <names)" ] ||
    fail "docs/conditions.md lists too few"
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
