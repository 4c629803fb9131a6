#!/usr/bin/env python3
"""Shapes drawn by a seeded generator, filled and compressed by pycocotools: the expectations of
tests/unit/test_mask_shape.c. Writes tests/golden/coco/shapes.tsv: height, width, polygons
("x,y,x,y;x,y..."), the run lengths of their union compressed, its area."""
import math
import random
import sys

from pycocotools import mask as coco


def outline(rng, h, w):
    kind = rng.randrange(6)
    cx, cy = rng.uniform(-0.2 * w, 1.2 * w), rng.uniform(-0.2 * h, 1.2 * h)
    if kind == 0:  # star, points with two decimals as annotation tools write them
        n = rng.randrange(3, 14)
        r = [rng.uniform(0.5, 0.6 * max(h, w)) for _ in range(n)]
        return [round(v, 2) for i in range(n) for v in (
            cx + r[i] * math.cos(6.2832 * i / n), cy + r[i] * math.sin(6.2832 * i / n))]
    if kind == 1:  # whole numbers, corners repeated
        pts = [(rng.randrange(-3, w + 4), rng.randrange(-3, h + 4)) for _ in range(rng.randrange(3, 7))]
        pts.insert(1, pts[0])
        return [v for p in pts for v in p]
    if kind == 2:  # rectangle on half pixels
        x, y = rng.randrange(2 * w) / 2, rng.randrange(2 * h) / 2
        a, b = rng.randrange(1, w + 1) / 2, rng.randrange(1, h + 1) / 2
        return [x, y, x + a, y, x + a, y + b, x, y + b]
    if kind == 3:  # a sliver
        return [cx, cy, cx + rng.uniform(0, w), cy + 0.3, cx + rng.uniform(0, w), cy + 0.5]
    if kind == 4:  # crosses itself
        return [rng.uniform(0, v) for _ in range(rng.randrange(4, 9)) for v in (w, h)]
    return [rng.uniform(-2.0 * v, 3.0 * v) for _ in range(rng.randrange(3, 6)) for v in (w, h)]


def main():
    rng = random.Random(20)
    out = open(sys.argv[1], "w", encoding="ascii")
    out.write("height\twidth\tpolygons\truns\tarea\n")
    for _ in range(240):
        h, w = rng.choice([(1, 1), (1, 9), (7, 1), (12, 17), (23, 16), (40, 31), (64, 64)])
        polygons = [outline(rng, h, w) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        polygons = [[float(f"{v:.6g}") for v in p] for p in polygons]
        runs = coco.merge(coco.frPyObjects(polygons, h, w))
        text = ";".join(",".join(f"{v:.6g}" for v in p) for p in polygons)
        out.write(f"{h}\t{w}\t{text}\t{runs['counts'].decode()}\t{int(coco.area(runs))}\n")


main()
