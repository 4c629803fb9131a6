"""Stage `ship`: the first 60 held-out scenes as files: NNN.png, NNN.parts.png (grey, value = part number), items.tsv.

Value 0 is everything that is not an object part; parts are numbered from 1 in drawing order within their scene. Parts
with fewer than 12 visible pixels keep their value in the map but have no line in items.tsv.
"""
import argparse
import os

import numpy as np
from PIL import Image

import scenes

COUNT, MIN_AREA = 60, 12

if __name__ == "__main__":
    a = argparse.ArgumentParser()
    a.add_argument("--out", required=True)
    args = a.parse_args()
    os.makedirs(args.out, exist_ok=True)
    lines = ["image\tmask\tvalue\tobject\tobject_id\tpart"]
    for i in range(COUNT):
        img, ids, inst, rec = scenes.make(i, "test")
        value = np.zeros(len(inst), np.uint8)
        parts = [k for k, (_, o) in enumerate(inst) if o >= 0]
        value[parts] = np.arange(1, len(parts) + 1)
        name = f"{i:03d}"
        Image.fromarray(img).save(os.path.join(args.out, name + ".png"), optimize=True)
        Image.fromarray(value[ids]).save(os.path.join(args.out, name + ".parts.png"), optimize=True)
        for k in parts:
            if (ids == k).sum() >= MIN_AREA:
                o = rec["objs"][inst[k][1]]
                lines.append(f"{name}.png\t{name}.parts.png\t{value[k]}\t{o['kind']}\t{inst[k][1]}\t{inst[k][0]}")
    with open(os.path.join(args.out, "items.tsv"), "w") as f:
        f.write("\n".join(lines) + "\n")
    size = sum(os.path.getsize(os.path.join(args.out, f)) for f in os.listdir(args.out))
    print(len(lines) - 1, "parts,", size, "bytes")
