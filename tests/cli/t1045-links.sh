# Documents link each other, every link leads somewhere, and every command they show exists.
tapetum --help | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p' | sort -u >commands
cd "$ROOT"
for page in README.md ARCHITECTURE.md CONTRIBUTING.md docs/*.md; do
    folder=$(dirname "$page")
    grep -oE '\]\([^)#]+' "$page" | sed 's/^](//' | while read -r link; do
        case $link in http*) continue ;; esac
        [ -e "$folder/$link" ] || fail "$page links to $link, which is not there"
    done || exit 1
    # commands in code: "    tapetum NAME ..." and `tapetum NAME ...`
    grep -oE '(^ +|`)tapetum [a-z]+' "$page" | sed 's/.*tapetum //' | sort -u | while read -r word; do
        grep -qx "$word" "$OLDPWD/commands" || [ "$word" = check ] ||
            fail "$page shows 'tapetum $word', which is no command"
    done || exit 1
done
grep -q 'docs/README.md' README.md || fail "README.md does not link the documents"

# every message that docs/errors.md explains is one that the program has: texts of the
# sources joined as the compiler joins them, "..." where a message holds names
cat src/*/*.c | sed 's/^ *//' | tr -d '\n' | sed 's/" *"//g' >"$OLDPWD/texts"
grep -oE '\*\*`[^`]+`\*\*' docs/errors.md | sed 's/^\*\*`//; s/`\*\*$//' | tr '\n' '\001' |
    sed 's/…/\n/g' | tr '\001' '\n' | sed "s/^[ ',]*//; s/[ ',]*\$//" | grep -E '.{10,}' >"$OLDPWD/quoted"
[ "$(wc -l <"$OLDPWD/quoted")" -ge 12 ] || fail "too few messages in docs/errors.md"
while read -r text; do
    grep -qF -e "$text" "$OLDPWD/texts" || fail "docs/errors.md explains '$text', which no message holds"
done <"$OLDPWD/quoted"
