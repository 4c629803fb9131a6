"""Stage `report`: copies the logs of a work directory here and puts their figures into docs/organism.md.

A block of the page between `<!-- begin NAME -->` and `<!-- end -->` is replaced by logs/NAME in a code fence: no figure of
the page is typed by hand.
"""
import argparse
import glob
import json
import os
import re
import shutil

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "docs", "organism.md")
NAMES = (("blur", "compensating"), ("exact", "non-compensating"))


def write(name, lines):
    with open(os.path.join(HERE, "logs", name), "w") as f:
        f.write("\n".join(lines) + "\n")


def accuracy(work):
    got = {s: json.load(open(os.path.join(work, f"accuracy.{v}.0.json"))) for v, s in NAMES}
    a, b = got["compensating"], got["non-compensating"]
    lines = [f"{'held-out scenes, as shipped (seed 0)':42s} compensating  non-compensating"]
    for k in a:
        lines.append(f"{k:42s} {a[k][0]:6.3f} ({a[k][1]:4d})  {b[k][0]:6.3f} ({b[k][1]:4d})")
    write("accuracy.txt", lines)


def textmode(work):
    lines = ["S by depth 0..6 over parts that own a patch (100 held-out scenes, seed 0)"]
    for v, s in NAMES:
        for k, x in json.load(open(os.path.join(work, f"textmode.{v}.0.json"))).items():
            lines.append(f"{s:17s} {k:45s} " + " ".join(f"{y:.3f}" for y in x))
    write("textmode.txt", lines)


def training(work):
    """First, middle and last figures of every training log, and its time."""
    lines = ["stage                 steps  seconds   figures of the last logged step"]
    for f in sorted(glob.glob(os.path.join(work, "*.log"))):
        last = json.loads(open(f).read().splitlines()[-1])
        lines.append(f"{os.path.basename(f)[:-4]:20s} {last.pop('step') + 1:6d} {last.pop('seconds'):8.0f}   "
                     + " ".join(f"{k} {v:.3f}" for k, v in last.items() if k != "cut"))
    write("training.txt", lines)


if __name__ == "__main__":
    a = argparse.ArgumentParser()
    a.add_argument("--work", required=True)
    work = a.parse_args().work
    os.makedirs(os.path.join(HERE, "logs"), exist_ok=True)
    for f in glob.glob(os.path.join(work, "*.log")):
        shutil.copy(f, os.path.join(HERE, "logs"))
    for f in ("summary.txt", "ship.txt"):
        if os.path.exists(os.path.join(work, f)):
            shutil.copy(os.path.join(work, f), os.path.join(HERE, "logs"))
    accuracy(work)
    textmode(work)
    training(work)
    page = open(PAGE).read()

    def block(m):
        with open(os.path.join(HERE, "logs", m.group(1))) as f:
            return f"<!-- begin {m.group(1)} -->\n```\n{f.read().rstrip()}\n```\n<!-- end -->"
    page = re.sub(r"<!-- begin (\S+) -->\n.*?<!-- end -->", block, page, flags=re.S)
    with open(PAGE, "w") as f:
        f.write(page)
