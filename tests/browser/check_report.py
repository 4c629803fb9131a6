"""What a reader would do with a report, and whether the page shows what the database holds.

    check_report.py TAPETUM RESULTS.db REPORT.html [HOSTILE.html]

Exit 77 when there is no browser. Each check prints its name; the first that fails ends it.
"""

import json
import sqlite3
import subprocess
import sys
import time

from browser import Browser, Missing

CONTRAST = r"""(() => {
  const parse = text => { const n = text.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const lum = rgb => { const c = rgb.slice(0, 3).map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * c[0] + .7152 * c[1] + .0722 * c[2]; };
  const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] + under[i] * (1 - top[3])).concat(1);
  const ground = node => { const seen = [];
    for (let n = node; n instanceof Element; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor); if (c[3] > 0) { seen.push(c); if (c[3] === 1) break; } }
    let under = [255, 255, 255, 1]; if (matchMedia('(prefers-color-scheme: dark)').matches) under = [18, 21, 26, 1];
    return seen.reverse().reduce((u, c) => over(c, u), under); };
  const ratio = (a, b) => { const x = lum(a), y = lum(b); return (Math.max(x, y) + .05) / (Math.min(x, y) + .05); };
  const bad = []; let texts = 0, marks = 0;
  const visible = n => n.getClientRects().length > 0;
  document.querySelectorAll('body *').forEach(node => {
    if (!visible(node)) return;
    const style = getComputedStyle(node), svg = node instanceof SVGElement;
    const own = [...node.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (own && /^(TITLE|STYLE|SCRIPT|title|desc|OPTION)$/.test(node.tagName) === false && !node.disabled) {
      let color = parse(svg ? style.fill : style.color), under = ground(svg ? node.closest('svg').parentElement : node);
      if (svg && node.closest('[data-figure=cells]')) { /* text on a cell of the 2x2 */
        const panel = parse(getComputedStyle(node.closest('svg').querySelector('.panel')).fill);
        if (ratio(color, panel) < ratio(color, under)) under = panel; }
      const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 600);
      texts++;
      const r = ratio(over(color, under), under);
      if (r < (large ? 3 : 4.5)) bad.push([node.tagName, node.className.baseVal || node.className, node.textContent.slice(0, 30), +r.toFixed(2)]);
    }
    if (svg && node.matches('.fig .dot, .fig .arrow, .fig path.line:not(.grid)')) {
      const color = parse(node.matches('.line') ? style.stroke : style.fill), under = ground(node.closest('svg').parentElement);
      marks++;
      const r = ratio(color, under);
      if (r < 3) bad.push([node.tagName, node.className.baseVal, '', +r.toFixed(2)]);
    }
  });
  return {texts, marks, bad: bad.slice(0, 12)};
})()"""


def done(name, *what):
    print("ok", name, *what)


def near(a, b):
    return abs(a - b) <= 2e-6 * max(1.0, abs(a), abs(b))


def stats_of(tapetum, database):
    """{(average, metric, depth): line of stats --json}"""
    out = subprocess.run([tapetum, "stats", database, "--json"], check=True,
                         capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    return {(x["average"], x["metric"], x["depth"]): x for x in lines if "average" in x and "depth" in x}


def check_quiet(page, name):
    assert page.messages() == [], page.messages()
    assert page.requests() == [], page.requests()
    assert not any(e["method"] == "Page.javascriptDialogOpening" for e in page.events)
    done("no console message, no request:", name)


def check_marks(page, db, stats):
    conditions = [row[0] for row in db.execute("SELECT name FROM condition ORDER BY id")]
    depths = [row[0] for row in db.execute("SELECT depth FROM depth ORDER BY depth")]
    dots = page.js("""[...document.querySelectorAll(
        '[data-figure=depth] .wide [data-k=dot]')].map(n => [+n.dataset.c, +n.dataset.x,
        +n.dataset.v, +n.getAttribute('transform').split(/[(,)]/)[2]])""")
    dosed = {point.split(":")[1] for (value,) in db.execute(
        "SELECT value FROM manifest WHERE key GLOB 'doses.*'")
        for point in value.split(",")}
    cells = {value for (value,) in db.execute(
        "SELECT value FROM manifest WHERE key GLOB 'design.*'")}
    curves = [c for c in conditions if c in cells or c not in dosed]
    assert len(dots) == len(curves) * len(depths), len(dots)
    assert {conditions[int(dot[0])] for dot in dots} == set(curves)
    plot = [float(x) for x in page.js(
        "document.querySelector('[data-figure=depth] .wide').dataset.plot0").split(",")]
    for c, depth, value, y in dots:
        expected = stats["macro", "log_rank", int(depth)]["conditions"][
            conditions[int(c)]]["value"]
        assert near(value, expected), (c, depth, value, expected)
        shown = plot[6] + (plot[3] - y) / (plot[3] - plot[1]) * (plot[7] - plot[6])
        assert abs(shown - expected) < 1e-3, (c, depth, shown, expected)
    lines = page.js("document.querySelectorAll('[data-figure=depth] .wide "
                    "[data-k=line]').length")
    assert lines == len(curves), lines
    doses = page.js("document.querySelectorAll('[data-figure=doses] .wide "
                    "[data-k=dot]').length")
    points = sum(value.count(",") + 1 for (value,) in db.execute(
        "SELECT value FROM manifest WHERE key GLOB 'doses.*'"))
    assert doses == points, (doses, points)
    done("marks of the depth curves", len(dots), "values equal stats")
    # categories: means by hand from score
    import math
    cells = [conditions.index(db.execute(
        "SELECT value FROM manifest WHERE key = ?", (f"design.{cell}",)).fetchone()[0])
        for cell in ("clean", "encoder_off", "decoder_off", "both_off")]
    sums = {}
    for kind, condition, rank, n in db.execute(
            "SELECT object || ':' || label, condition_id, best_rank, n_candidates FROM "
            "score JOIN item ON item.id = item_id WHERE depth = ?", (depths[-1],)):
        sums.setdefault(kind, {}).setdefault(condition, []).append(
            1 - math.log2(rank) / math.log2(n))
    marks = page.js("""[...document.querySelectorAll(
        '[data-figure=parts] .wide .dot[data-p]')].map(n => [n.dataset.k,
        +n.dataset.v, n.querySelector('title').textContent])""")
    assert len(marks) == 2 * min(len(sums), 40), (len(marks), len(sums))
    for key, value, title in marks:
        s = {c: sum(v) / len(v) for c, v in sums[title.rsplit(": ", 1)[0]].items()}
        s11, s01, s10, s00 = (s[c] for c in cells)
        expected = s10 - s00 if key == "d0" else s11 - s01
        assert abs(value - expected) < 1e-5, (title, key, value, expected)
    done("marks of the forest", len(marks), "values equal the database")
    cards = page.js("document.querySelectorAll('.gallery .card').length")
    items = db.execute("SELECT COUNT(*) FROM item WHERE excluded IS NULL").fetchone()[0]
    assert cards == min(12, items), cards
    receipts = db.execute("SELECT COUNT(*) FROM (SELECT DISTINCT condition_id, stack FROM "
                          "receipt)").fetchone()[0]
    rows = page.js("document.querySelectorAll('#receipts-0 tbody tr').length")
    assert rows == receipts, (rows, receipts)
    done("cards and receipts")
    return conditions, depths, cells


def shown_cells(page):
    return page.js("""[...document.querySelectorAll(
        '[data-figure=cells] .wide [data-k=value]')].map(n => +n.dataset.v)""")


def check_depth(page, db, stats, conditions, depths, cells):
    def agrees(depth, metric="log_rank", average="macro"):
        line = stats[average, metric, depth]
        for shown, c in zip(shown_cells(page), cells):
            assert near(shown, line["conditions"][conditions[c]]["value"]), (depth, shown)
        rows = page.js("""Object.fromEntries([...document.querySelectorAll(
            '#fig-0-cells tbody tr')].map(r => [r.cells[0].textContent,
            r.cells[1].textContent]))""")
        for name in ("d0", "d1", "I", "R", "R_V", "CI"):
            expected = line[name]["value"]
            assert rows[name] == "NA" if expected is None else \
                near(float(rows[name]), expected), (name, rows[name], expected)

    agrees(depths[-1])
    before = page.js("document.querySelector('[data-figure=parts] .wide "
                     ".dot[data-k=d1]').getAttribute('transform')")
    page.js("document.querySelector('.bar input').focus()")
    page.key("Home")
    page.wait(f"document.querySelector('.bar output').textContent === '{depths[0]}'")
    agrees(depths[0])
    after = page.js("document.querySelector('[data-figure=parts] .wide "
                    ".dot[data-k=d1]').getAttribute('transform')")
    assert before != after, "the forest does not follow the slider"
    page.key("ArrowRight")
    page.wait(f"document.querySelector('.bar output').textContent === '{depths[1]}'")
    agrees(depths[1])
    cursor = page.js("document.querySelector('[data-figure=depth] .wide "
                     "[data-k=cursor]').getAttribute('d')")
    ranks = page.js("""[...document.querySelectorAll('.gallery .card')].flatMap(card =>
        [...card.querySelectorAll('.ranks b')].map(b => [+card.dataset.item,
        +b.dataset.c, +b.dataset.v]))""")
    assert ranks
    kept = page.js("(() => { const d = document.querySelector('.study').tapetum.data; "
                   "return d.kept.map(k => d.depths[k]); })()")
    if depths[1] in kept:
        for item, c, rank in ranks:
            expected = db.execute(
                "SELECT best_rank FROM score WHERE item_id = ? AND condition_id = ? AND "
                "depth = ?", (item, c, depths[1])).fetchone()[0]
            assert abs(rank - expected) <= 2e-4 * expected, (item, c, rank, expected)
    done("the slider moves cells, forest, cursor and", len(ranks), "ranks of cards")
    for metric in ("mrr", "hit@10"):
        page.js(f"""(() => {{ const s = document.querySelectorAll('.bar select')[0];
            s.value = [...s.options].find(o => o.textContent === '{metric}').value;
            s.onchange(); }})()""")
        agrees(depths[1], metric)
    page.js("""(() => { const s = document.querySelectorAll('.bar select')[1];
        s.value = 1; s.onchange(); })()""")
    agrees(depths[1], "hit@10", "micro")
    values = page.js("""[...document.querySelectorAll(
        '[data-figure=depth] .wide [data-k=dot]')].map(n => [+n.dataset.c, +n.dataset.x,
        +n.dataset.v])""")
    assert values
    for c, depth, value in values:
        expected = stats["micro", "hit@10", int(depth)]["conditions"][
            conditions[int(c)]]["value"]
        assert near(value, expected), (c, depth, value, expected)
    assert cursor != ""
    page.js("""document.querySelectorAll('.bar select').forEach((s, i) => {
        s.value = i ? 0 : [...s.options].findIndex(o => o.textContent === 'log_rank');
        s.onchange(); })""")
    done("score and average choose other values of stats")


def check_hover(page):
    def at(selector):
        return page.js(f"""(async () => {{
            const n = document.querySelector({json.dumps(selector)});
            n.scrollIntoView({{block: 'center', behavior: 'instant'}});
            for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
            const b = n.getBoundingClientRect();
            return [b.x + b.width / 2, b.y + b.height / 2]; }})()""")

    def tip():
        return page.js("(t => t.hidden ? '' : t.textContent)(document.querySelector('.tip'))")

    def move(x, y, wanted):
        """Moves until the tip says it: a scroll on its way may hide the first one."""
        for _ in range(50):
            page.move(x + 1, y)
            page.move(x, y)
            if wanted in tip():
                return tip()
            time.sleep(0.05)
        raise AssertionError(f"the tip never says {wanted!r}, but {tip()!r}")

    x, y = at("[data-figure=depth] .wide")
    first = move(x, y, "depth ")
    second = move(x - 150, y, "depth ")
    assert first != second, (first, second)
    move(*at("[data-figure=parts] .wide .dot[data-k=d1]"), "[")
    assert "rank" in move(*at(".gallery .card rect.patch"), "patch row")
    done("hover:", repr(tip().split("\n")[1]))
    page.move(2, 2)


def check_keys(page):
    page.key("Tab")
    page.wait("document.activeElement.className === 'skip'")
    seen = set()
    for _ in range(60):
        page.key("Tab")
        seen.add(page.js("(n => n.tagName + '.' + (n.className.baseVal || n.className))"
                         "(document.activeElement)"))
    assert "svg.fig wide" in seen and "BUTTON." in seen, seen
    page.js("document.querySelector('[data-figure=depth] .wide').focus()")
    page.key("Home")
    page.wait("document.querySelector('.bar input').value === '0'")
    low = page.js("document.querySelector('.bar output').textContent")
    page.key("ArrowRight")
    page.wait(f"document.querySelector('.bar output').textContent !== {low!r}")
    page.key("End")
    page.js("document.querySelector('.gallery .card button').focus()")
    page.key("Enter")
    page.wait("!!document.querySelector('dialog[open]')")
    for _ in range(12):
        page.key("Tab")
        if page.js("document.activeElement.matches('rect.patch')"):
            break
    assert page.js("document.activeElement.matches('rect.patch')"), "no way to a patch"
    page.wait("document.querySelector('.said').textContent.startsWith('patch row')")
    said = page.js("document.querySelector('.said').textContent")
    assert "rank" in said, said
    page.key("Escape")
    page.wait("!document.querySelector('dialog')")
    page.wait("document.activeElement.matches('.card button')")
    done("the keyboard reaches figures, slider, cards and patches")


def check_downloads(page):
    names = page.js("""[...document.querySelectorAll('figure[data-figure]')].map(f =>
        [f.dataset.figure, f.querySelectorAll('.tools button').length,
        f.tapetum.csv(f.querySelector('table')).split('\\r\\n').length,
        new DOMParser().parseFromString(f.tapetum.svg(f.querySelector('svg')),
        'image/svg+xml').querySelector('parsererror') === null])""")
    for name, buttons, lines, whole in names:
        assert buttons == 2 and lines > 3 and whole, (name, buttons, lines, whole)
    done("SVG and CSV of", len(names), "figures")


def check_looks(browser, url):
    for dark in (False, True):
        page = browser.open(url, width=1000, dark=dark)
        found = page.js(CONTRAST)
        assert found["texts"] > 100 and found["marks"] > 50, found
        assert not found["bad"], found["bad"]
        done("contrast,", "dark:" if dark else "light:", found["texts"], "texts,",
             found["marks"], "marks")
    for width in (360, 1000, 1600):
        page = browser.open(url, width=width)
        assert page.js("document.documentElement.scrollWidth") <= width, width
        size = page.js("""Math.min(...[...document.querySelectorAll('svg.fig text')]
            .filter(n => n.getClientRects().length).map(n => parseFloat(
            getComputedStyle(n).fontSize) * n.closest('svg').getBoundingClientRect().width /
            n.closest('svg').viewBox.baseVal.width))""")
        assert size >= 8.5, (width, size)
        names = page.js("""[...document.querySelectorAll('svg[role=img]')].filter(s =>
            s.getClientRects().length && !(s.querySelector('title') ||
            s.getAttribute('aria-label'))).length""")
        assert names == 0, "pictures without a text alternative"
    done("360, 1000 and 1600 px: nothing is cut off, letters are large enough")
    page = browser.open(url, scripts=False)
    plain = page.call("DOM.getDocument", depth=0)["root"]["nodeId"]

    def count(selector):
        return len(page.call("DOM.querySelectorAll", nodeId=plain,
                             selector=selector)["nodeIds"])

    assert count("svg.fig.wide") >= 5 and count(".gallery .card svg.view") >= 3
    assert count("body.plain") == 1 and count(".bar") == 0
    done("without scripts:", count("svg.fig.wide"), "figures,",
         count(".gallery .card"), "cards")


def check_hostile(browser, url):
    page = browser.open(url)
    check_quiet(page, "hostile names")
    studies = page.js("document.querySelectorAll('.study').length")
    assert page.js("document.scripts.length") == 2 + studies
    assert page.js("document.querySelectorAll('img, iframe, u, main i:not(dt i)').length") == 0
    text = page.js("document.body.textContent")
    assert "<script>alert('000000')</script>\u2409\u2421\"'&.jpg" in text
    assert "</script><script>alert('label')</script>" in text
    assert "<b>bold</b> & \"quoted\"" in text
    assert "'<u>\u2401\u241b[31m'" in text
    page.js("document.querySelector('.gallery .card button').click()")
    assert page.js("document.scripts.length") == 2 + studies
    page.js("document.querySelector('dialog').close()")
    check_quiet(page, "hostile names, a card opened")


def main():
    tapetum, database, report = sys.argv[1:4]
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    stats = stats_of(tapetum, database)
    url = "file://" + report
    with Browser() as browser:
        page = browser.open(url)
        check_quiet(page, "loading")
        opened = page.js("performance.timing.loadEventEnd - performance.timing.navigationStart")
        done("opened in", opened, "ms")
        conditions, depths, cells = check_marks(page, db, stats)
        check_depth(page, db, stats, conditions, depths, cells)
        check_hover(page)
        check_downloads(page)
        check_quiet(page, "all of it")
        page = browser.open(url)
        check_keys(page)
        check_quiet(page, "by keyboard")
        check_looks(browser, url)
        if len(sys.argv) > 4:
            check_hostile(browser, "file://" + sys.argv[4])


if __name__ == "__main__":
    try:
        main()
    except Missing as reason:
        print(reason)
        sys.exit(77)
