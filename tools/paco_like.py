#!/usr/bin/env python3
"""A file like PACO-LVIS's, of any size, and whether `tapetum items` reads it as pycocotools does.

    tools/paco_like.py write paco.json 29500        304 MiB: 29 500 images, 332 508 annotations
    tapetum items data.yaml --json > items.jsonl    format: paco, annotations: paco.json
    tools/paco_like.py check paco.json items.jsonl

Masks are blobs drawn by a seeded generator. check compares image, object, part and area of every
part of the images listed with the mask that pycocotools decodes."""
import json
import math
import random
import sys

from pycocotools import mask as coco

H, W = 480, 640


def blob(rng):
    n, cx, cy, r = rng.randrange(8, 40), rng.uniform(50, 590), rng.uniform(50, 430), rng.uniform(10, 180)
    polygon = []
    for i in range(n):
        d, a = rng.uniform(0.3, 1) * r, 6.28 * i / n
        polygon += [cx + d * math.cos(a), cy + d * math.sin(a)]
    return coco.frPyObjects([polygon], H, W)[0]["counts"].decode()


def annotations(rng, n_images):
    pool = [blob(rng) for _ in range(400)]
    boxes = [[float(v) for v in coco.toBbox({"size": [H, W], "counts": c})] for c in pool]
    number = 0
    for image in range(n_images):
        for _ in range(rng.choice([3, 4, 5, 6])):
            owner, kind = number, rng.randrange(75)
            for k in range(1 + rng.randrange(4)):
                shape = rng.randrange(len(pool))
                yield {"id": number, "bbox": boxes[shape], "area": boxes[shape][2] * boxes[shape][3],
                       "category_id": kind + 1 if k == 0 else 100 + kind + 75 * rng.randrange(6),
                       "image_id": image, "obj_ann_id": owner,
                       "segmentation": {"size": [H, W], "counts": pool[shape]},
                       "attribute_ids": [rng.randrange(59) for _ in range(3)], "dom_color_ids": [3],
                       "unknown_color": 0, "unknown_pattern_marking": 0, "unknown_material": 0,
                       "unknown_transparency": 0}
                number += 1


def write(path, n_images):
    images = [{"id": i, "file_name": f"train2017/{i:012d}.jpg", "height": H, "width": W, "license": 4,
               "coco_url": f"http://images.cocodataset.org/train2017/{i:012d}.jpg",
               "neg_category_ids": [], "not_exhaustive_category_ids": [3],
               "neg_category_ids_attrs": [], "not_exhaustive_category_ids_attrs": []}
              for i in range(n_images)]
    categories = [{"supercategory": "OBJECT", "id": i + 1, "name": f"object_{i}"} for i in range(75)]
    categories += [{"supercategory": "PART", "id": 100 + i, "name": f"object_{i % 75}:part_{i}"}
                   for i in range(456)]
    with open(path, "w", encoding="ascii") as out:
        out.write(f'{{"images": {json.dumps(images)}, "categories": {json.dumps(categories)}, "annotations": [')
        for n, annotation in enumerate(annotations(random.Random(1), n_images)):
            out.write((", " if n else "") + json.dumps(annotation))
        out.write("]}")


def check(path, items_path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    with open(items_path, encoding="utf-8") as file:
        items = [json.loads(line) for line in file]
    names = {i["id"]: i["file_name"] for i in data["images"]}
    kinds = {c["id"]: c["name"] for c in data["categories"]}
    listed = {i["image"] for i in items}
    want = sorted((names[a["image_id"]], a["obj_ann_id"], kinds[a["category_id"]],
                   int(coco.area(a["segmentation"])))
                  for a in data["annotations"]
                  if a["id"] != a["obj_ann_id"] and names[a["image_id"]] in listed)
    found = sorted((i["image"], i["object_id"], i["object"] + ":" + i["part"], i["area_px"]) for i in items)
    print(f"{len(found)} items, {len(want)} expected, {'equal' if found == want else 'DIFFERENT'}")
    return found != want


if sys.argv[1] == "write":
    write(sys.argv[2], int(sys.argv[3]))
else:
    sys.exit(check(sys.argv[2], sys.argv[3]))
