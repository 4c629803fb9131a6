# Exports read by pandas and DuckDB without a schema, and what they say checked against the
# tables themselves, where a Python has these libraries (PYTHON).
python=${PYTHON:-python3}
"$python" -c 'import pandas, duckdb' 2>/dev/null ||
    skip "no Python with pandas and duckdb (set PYTHON)"
small_database

for view in result_long control_result thumbnail; do
    expect 0 tapetum export one.db $view --format csv -o $view.csv
done
for view in result_long word outline; do
    expect 0 tapetum export one.db $view --format jsonl -o $view.jsonl
done
"$python" - <<'P' || fail "pandas or DuckDB reads other numbers"
import base64, json, math, sqlite3
import duckdb, pandas

csv, lines = pandas.read_csv("result_long.csv", float_precision="round_trip"), pandas.read_json("result_long.jsonl", lines=True)
assert list(csv.columns) == list(lines.columns), (csv.columns, lines.columns)
assert csv["value"].dtype == "float64" and csv["depth"].dtype == "int64"
pandas.testing.assert_frame_equal(csv, lines, rtol=1e-14)

# every number once more, from the tables themselves
db = sqlite3.connect("one.db")
wide = pandas.read_sql("SELECT * FROM score", db)
names = dict(db.execute("SELECT id, name FROM condition"))
long = csv[csv["metric"] == "best_rank"]
assert len(long) == len(wide)
a = {(r.item_id, r.condition, r.depth): r.value for r in long.itertuples()}
b = {(r.item_id, names[r.condition_id], r.depth): r.best_rank for r in wide.itertuples()}
assert a == b

for path, read in (("result_long.csv", "read_csv_auto"), ("result_long.jsonl", "read_json_auto")):
    found = duckdb.sql(
        f"SELECT condition, metric, count(*), sum(value) FROM {read}('{path}') "
        "GROUP BY ALL ORDER BY ALL").fetchall()
    expected = csv.groupby(["condition", "metric"])["value"].agg(["count", "sum"]).reset_index()
    assert [r[:3] for r in found] == [tuple(r)[:3] for r in expected.itertuples(index=False)]
    assert all(abs(r[3] - e.sum) < 1e-9 * abs(e.sum) for r, e in zip(found, expected.itertuples()))

# null_log2_rank is the mean over the five sets, the percentile the share that is worse
control = pandas.read_csv("control_result.csv")
sets = control[control["control"] == "random_patches"]
keyed = dict(list(sets.groupby(["item_id", "condition", "depth"])))
for r in wide.itertuples():
    g = keyed[(r.item_id, names[r.condition_id], r.depth)]
    assert len(g) == 5 and (g["part_best_rank"] == r.best_rank).all()
    assert abs(sum(math.log2(x) for x in g["best_rank"]) / 5 - r.null_log2_rank) < 1e-12
    worse = ((g["best_rank"] > r.best_rank) + 0.5 * (g["best_rank"] == r.best_rank)).mean()
    assert abs(worse - r.null_percentile) < 1e-12

# no random patch is touched by a part of the same name: coverage from outlines and boxes
def inside(rings, x, y):
    hit, at = False, 0
    while at < len(rings):
        n, p = rings[at], rings[at + 1:at + 1 + 2 * rings[at]]
        for i in range(n):
            x0, y0, x1, y1 = p[2 * i], p[2 * i + 1], p[2 * i - 2], p[2 * i - 1]
            if x0 == x1 and x0 <= x and min(y0, y1) <= y < max(y0, y1):
                hit = not hit
        at += 1 + 2 * n
    return hit

boxes = {(i, p): (x0, y0, x1, y1) for i, p, x0, y0, x1, y1 in db.execute(
    "SELECT image_id, patch, x0, y0, x1, y1 FROM patch")}
outlines = {}
for line in open("outline.jsonl"):
    o = json.loads(line)
    outlines[o["item_id"]] = o["rings"]
touched = {}
for item, image, label in db.execute("SELECT id, image_id, label FROM item"):
    pixels = {(x, y) for y in range(96) for x in range(96) if inside(outlines[item], x, y)}
    area = db.execute("SELECT area_px FROM item WHERE id = ?", (item,)).fetchone()[0]
    assert len(pixels) == area, (item, len(pixels), area)
    hit = {p for (i, p), (x0, y0, x1, y1) in boxes.items() if i == image and any(
        (x, y) in pixels for x in range(int(x0), int(x1)) for y in range(int(y0), int(y1)))}
    touched.setdefault((image, label), set()).update(hit)
n = 0
for blob, image, label in db.execute(
        "SELECT control_set.patches, image_id, item.label FROM control_set JOIN item ON item.id = "
        "item_id WHERE control = 'random_patches' AND control_set.patches IS NOT NULL"):
    patches = memoryview(blob).cast("i").tolist()
    assert patches == sorted(set(patches)) and not touched[image, label] & set(patches)
    n += 1
assert n > 50

# the picture is a JPEG of the size that stands beside it
picture = pandas.read_csv("thumbnail.csv").iloc[0]
jpeg = base64.b64decode(picture["jpeg"])
assert jpeg[:3] == b"\xff\xd8\xff" and picture["width_px"] == 48
words = pandas.read_json("word.jsonl", lines=True)
assert set(words["place"]) == {1, 2} and set(words["depth"]) == {0, words["depth"].max()}
assert ((words["probability"] > 0) & (words["probability"] < 1)).all()
assert db.execute("PRAGMA foreign_key_check").fetchall() == []
P
