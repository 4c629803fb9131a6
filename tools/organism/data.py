"""Stage `data`: draws all scenes of a split once and keeps them as arrays in the work directory."""
import os
import pickle
import sys

import numpy as np

import scenes

COUNTS = {"train": 36000, "val": 800, "test": 600}


def build(work, split, lo, hi, out):
    imgs = np.empty((hi - lo, scenes.SIZE, scenes.SIZE, 3), np.uint8)
    recs = []
    for i in range(lo, hi):
        imgs[i - lo], _, _, rec = scenes.make(i, split)
        recs.append(rec)
    np.save(os.path.join(work, out + ".tmp.npy"), imgs)
    with open(os.path.join(work, out + ".pkl"), "wb") as f:
        pickle.dump(recs, f)
    os.replace(os.path.join(work, out + ".tmp.npy"), os.path.join(work, out + ".npy"))


def shards(split):
    n = COUNTS[split]
    cut = [0, n // 2, n] if n > 2000 else [0, n]
    return [(cut[i], cut[i + 1], f"{split}.{i}") for i in range(len(cut) - 1)]


def load(work, split):
    """Images uint8 [n, 96, 96, 3] and scene records of a split."""
    imgs, recs = [], []
    for _, _, name in shards(split):
        imgs.append(np.load(os.path.join(work, name + ".npy"), mmap_mode="r"))
        with open(os.path.join(work, name + ".pkl"), "rb") as f:
            recs += pickle.load(f)
    return np.concatenate(imgs), recs


if __name__ == "__main__":
    work = sys.argv[1]
    for name in sys.argv[2:]:
        split = name.split(".")[0]
        for lo, hi, out in shards(split):
            if out == name and not os.path.exists(os.path.join(work, out + ".npy")):
                build(work, split, lo, hi, out)
