"""The page of one photograph against `tapetum lens --json`.

    check_lens.py PAGE.html LENS.jsonl          exit 77 without a browser
"""

import json
import sys

from browser import Browser, Missing


def main():
    with open(sys.argv[2], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    conditions = list(dict.fromkeys(x["condition"] for x in lines))
    labels = list(dict.fromkeys(x["label"] for x in lines))
    depths = sorted({x["depth"] for x in lines})

    def best(condition, label, depth):
        return min(x["best"] for x in lines if (x["condition"], x["label"], x["depth"])
                   == (condition, label, depth))

    with Browser() as browser:
        for width in (360, 1000):
            page = browser.open("file://" + sys.argv[1], width=width)
            assert page.js("document.documentElement.scrollWidth") <= width, width
        n = page.js("document.querySelectorAll('[data-k=patch]').length")
        assert n == len(lines[0]["ranks"]) * len(conditions) * len(labels), n

        def agrees(depth):
            shown = page.js("""[...document.querySelectorAll('[data-k=best]')].map(n =>
                [+n.dataset.c, +n.dataset.l, +n.dataset.v])""")
            assert len(shown) == len(conditions) * len(labels)
            for c, l, value in shown:
                assert value == best(conditions[c], labels[l], depth), (c, l, value)

        agrees(depths[-1])
        before = page.js("document.querySelector('[data-k=patch]').style.fill")
        page.js("document.querySelector('.bar input').focus()")
        page.key("Home")
        page.wait(f"document.querySelector('.bar output').textContent === '{depths[0]}'")
        agrees(depths[0])
        fills = page.js("new Set([...document.querySelectorAll('[data-k=patch]')].map(n => "
                        "n.style.fill)).size")
        assert fills > 5, fills
        assert before != "" and page.messages() == [] and page.requests() == []
        page = browser.open("file://" + sys.argv[1], scripts=False)
        node = page.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        found = page.call("DOM.querySelectorAll", nodeId=node,
                          selector="svg.fig [data-k=patch]")["nodeIds"]
        assert len(found) == n
    print("ok", n, "patches,", len(depths), "depths")


if __name__ == "__main__":
    try:
        main()
    except Missing as reason:
        print(reason)
        sys.exit(77)
