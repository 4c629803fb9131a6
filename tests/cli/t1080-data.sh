# Data sets from outside: items and labels of a COCO file, a merge of one's own, damaged input.
M=$ROOT/share/organism/random
mkdir images
cp "$ROOT/share/organism/scenes/"*.png images 2>/dev/null || true
set -- images/*.png
photo_path=$1
photo=${1##*/}
size=$(od -An -tu1 -j16 -N8 "$1" | awk '{ print $3 * 256 + $4, $7 * 256 + $8 }')
w=${size% *} h=${size#* }
cat >a.json <<J
{"images": [{"id": 1, "file_name": "$photo", "width": $w, "height": $h}],
 "categories": [{"id": 1, "name": "left_ear", "supercategory": "cat"},
                {"id": 2, "name": "right_ear", "supercategory": "cat"},
                {"id": 3, "name": "chimneysweeper", "supercategory": "cat"}],
 "annotations": [
  {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]]},
  {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [[20, 0, 29, 0, 29, 9, 20, 9]]},
  {"id": 3, "image_id": 1, "category_id": 3, "segmentation": [[0, 20, 9, 20, 9, 29, 0, 29]]},
  {"id": 4, "image_id": 1, "category_id": 9, "segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]]},
  {"id": 5, "image_id": 8, "category_id": 1, "segmentation": {"size": [1, 1], "counts": [0, 1]}}]}
J
printf 'format: coco-parts\nimages: images\nannotations: a.json\nparts: {merge: [sides]}\n' >d.yaml
expect 0 tapetum items d.yaml >found 2>said
printf 'image\tobject_id\tobject\tpart\tlabel\tarea_px\texcluded
(image_id 8)\t\tcat\tear\tear\t1\tits image_id is not in the list of images
%s\t\tcat\tear\tear\t162\t
%s\t\tcat\tchimneysweeper\tchimneysweeper\t81\t
%s\t\tunknown\tunknown\tunknown\t81\tunknown category_id 9\n' "$photo" "$photo" "$photo" >want
cmp want found || fail "items differ: $(cat found)"
grep -q '4 items in 2 images: 2 to score, 2 excluded' said || fail "no count: $(cat said)"
grep -q '1 more annotated parts were joined' said || fail "no joined parts: $(cat said)"

expect 0 tapetum labels d.yaml --model "$M" --json >labels
grep -q '"label": *"ear".*"excluded": *null' labels || fail "ear is not scored"
grep -q '"label": *"chimneysweeper".*"excluded": *"every form' labels || fail "no reason"
[ "$(tapetum labels d.yaml --model "$M" --excluded -q | grep -c chimney)" = 1 ] || fail "no list"
[ "$(tapetum labels d.yaml --model "$M" --model "$M" -q | grep -c "	all	")" = 3 ] || fail "no common list"
expect 2 tapetum labels d.yaml 2>said
grep -q 'add --model MODEL' said || fail "no hint: $(cat said)"

# a run scores what items promise, and nothing is lost
cat >e.yaml <<Y
schema: 1
model: $M
data: {format: coco-parts, images: images, annotations: a.json, parts: {merge: [sides]}}
labels: {multi_token: first_piece}
conditions: {clean: ""}
Y
expect 0 tapetum run e.yaml -o r.db -q
tapetum export r.db item --format jsonl >item.jsonl
[ "$(wc -l <item.jsonl)" = 4 ] || fail "$(wc -l <item.jsonl) items"
[ "$(grep -c '"excluded": *null' item.jsonl)" = 2 ] || fail "$(cat item.jsonl)"

# conditions may name another part of the object; an item without one is excluded from all
S=$ROOT/share/organism/scenes
awk -F '\t' 'NR == 1 || $1 == "000.png" || ($1 == "001.png" && !seen++)' "$S/items.tsv" >one.tsv
for f in "$S"/00[01].parts.png; do ln -s "$f" .; done
cat >o.yaml <<Y
schema: 1
model: $M
data: {format: masks, images: $S, annotations: one.tsv}
labels: {multi_token: first_piece}
conditions: {clean: "", cut: "vision: part <- other_part; lm: part <- other_part"}
Y
expect 0 tapetum run o.yaml -o o.db -q
tapetum export o.db item --format jsonl >item.jsonl
[ "$(grep -c "\"excluded\": *\"condition 'cut' names other_part and the object has no other part" \
    item.jsonl)" = 1 ] || fail "$(cat item.jsonl)"
[ "$(grep -c '"excluded": *null' item.jsonl)" = "$(grep -c '^000' one.tsv)" ] || fail "$(cat item.jsonl)"

# what does not belong together is not merged
refused "'o.db': 'r.db' holds another experiment" tapetum merge -o all.db r.db o.db
refused "is in another shard as well" tapetum merge -o all.db r.db r.db
[ -z "$(ls all.db* 2>/dev/null)" ] || fail "a refused merge left $(ls all.db*)"

# names from files neither break the table nor steer the terminal
sed 's/chimneysweeper/t\\u001b[2J\\nail/' a.json >b.json
sed 's/a.json/b.json/' d.yaml >m.yaml
expect 0 tapetum items m.yaml -q >found
grep -q '	t?\[2J?ail	' found || fail "$(cat found)"
[ "$(wc -l <found)" = 5 ] || fail "a name broke a line"
expect 0 tapetum items m.yaml --json -q | grep -qi 't\\u001b\[2J\\nail' || fail "no JSON name"
printf 'image\tmask\tobject\tobject_id\tpart\n%s\tm.png\tcat\t%s\tear\n' "$photo" 007 >t.tsv
printf '%s\tm.png\tcat\t\tear\n%s\tm.png\tcat\t12\tear\n' "$photo" "$photo" >>t.tsv
printf 'format: masks\nimages: images\nannotations: t.tsv\n' >m.yaml
tapetum items m.yaml --json -q | sed 's/.*"object_id": *\([^,]*\),.*/\1/' | tr '\n' ' ' >found
[ "$(cat found)" = '"007" null 12 ' ] || fail "object ids $(cat found)"

# a merge of one's own, and one that does not exist
printf 'part\tname\n*_ear\t-\n' >m.tsv
sed 's/sides/m.tsv/' d.yaml >m.yaml
expect 0 tapetum items m.yaml -q >found
[ "$(grep -c "left out by the merge 'm.tsv'" found)" = 2 ] || fail "$(cat found)"
sed 's/sides/side/' d.yaml >m.yaml
expect 1 tapetum items m.yaml 2>said
grep -q "did you mean 'sides'" said || fail "$(cat said)"
for damage in 's/"images": /"images" /' 's/}]}$/}]/' 's/"id": 2, "image_id"/"id": }, "image_id"/'; do
    sed "$damage" a.json >b.json
    sed 's/a.json/b.json/' d.yaml >m.yaml
    expect 1 tapetum items m.yaml 2>said >found
    grep -q "b.json' as JSON" said || fail "$damage: $(cat said)"
done

# Pascal-Part: damaged files are named, the rest is read; a photo of another size, none, no photo
mkdir mat
cp "$ROOT/tests/fuzz/corpus/pascal/"*.mat mat
printf 'format: pascal-part\nimages: mat\nannotations: mat\n' >m.yaml
why() { tapetum items m.yaml 2>said | sed -n 's/^tiny	.*	1	//p'; }
expect 1 tapetum items m.yaml >found 2>said
[ "$(grep -c '^tapetum: .*mat/\(huge\|no_names\|other\).mat' said)" = 3 ] || fail "$(cat said)"
grep -q '3 of 4 annotations could not be read' said || fail "$(cat said)"
[ "$(why)" = "no photo" ] || fail "$(why)"
cp "$photo_path" mat/tiny.png
[ "$(why)" = "the part has a mask of 5 x 4 px in an image of $w x $h px" ] || fail "$(why)"
echo "no picture" >mat/tiny.png
why | grep -q "tiny.png': it does not begin like a JPEG or PNG" || fail "$(why)"
