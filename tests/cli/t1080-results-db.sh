# results.db as a data format: read without writing, exported in long form.
small_database

# readers leave the file and its folder as they are
mkdir shut
cp one.db shut/r.db
before=$(cksum <shut/r.db)
chmod 444 shut/r.db
chmod 555 shut
expect 0 tapetum stats shut/r.db >stats.txt
expect 0 tapetum stats shut/r.db --receipts >receipts.txt
expect 0 tapetum export shut/r.db result_long --format csv -o long.csv
expect 0 tapetum export shut/r.db result_long --format jsonl -o long.jsonl
[ "$before" = "$(cksum <shut/r.db)" ] || fail "a reader changed the database"
[ "$(ls shut)" = r.db ] || fail "a reader left files: $(ls shut)"
chmod 755 shut

# the same rows in both spellings
[ "$(wc -l <long.csv)" -eq $(($(wc -l <long.jsonl) + 1)) ] || fail "CSV and JSON Lines differ in rows"
grep -q '^image,item_id,object,part,label,condition,depth,metric,value' long.csv || fail "no header"

# a control has its floor: five sets of every scored part, or the reason
scored=$(tapetum export one.db item --format csv | tail -n +2 | grep -c ',[0-9.]*,.$' || true)
[ "$scored" -gt 10 ] || fail "few scored items: $scored"
sets=$(tapetum export one.db control_set --format csv | grep -c ',random_patches,')
[ "$sets" -eq $((5 * scored)) ] || fail "$sets random sets of $scored parts"


# permuted labels: those of the scored parts, each as often
label_of() { sed 's/.*"label": *"\([^"]*\)".*/\1/' | sort; }
tapetum export one.db item --format jsonl | grep '"excluded": *null' | label_of >own
tapetum export one.db control_set --format jsonl | grep '"permuted_labels_global"' |
    grep '"excluded": *null' | label_of >given
cmp own given || fail "labels are not permuted: $(diff own given)"
