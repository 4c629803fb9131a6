"""What the subjects can do and how their two stacks share the work; an implementation apart from the C library.

python eval.py --work DIR accuracy|lens|text  --variant V --seed S [--dir HF_DIRECTORY] [--scenes N]
python eval.py --work DIR summary             joins the seeds, bootstraps, prints the tables

lens: per visible part of the held-out scenes, best rank of its name over its patches (coverage at least half, else the
best covered one), at every depth, in the four cells of the 2x2: `vision: image <- image|cls`, `lm: image <- image`.
The size-matched null reads the same name at as many patches that no part of that name touches.
"""
import argparse
import json
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import data
import export
import nets
import scenes
from tok import Words

CELLS = {"s11": (False, False), "s01": (True, False), "s10": (False, True), "s00": (True, True)}
MIN_AREA = 12


def items(i):
    """Parts of test scene i: dicts with label, object, kind, instance number, patches and null patches."""
    img, ids, inst, rec = scenes.make(i, "test")
    cov = scenes.coverage(ids, len(inst))
    rng = np.random.default_rng([9, i])
    out = []
    for k, (label, obj) in enumerate(inst):
        if obj < 0 or cov[k].sum() < MIN_AREA:
            continue
        own = np.flatnonzero(cov[k] * 2 >= scenes.PATCH ** 2)
        if len(own) == 0:
            own = np.array([cov[k].argmax()])
        same = sum(cov[j] for j in range(len(inst)) if inst[j][0] == label)
        free = np.flatnonzero(same == 0)
        out.append({"scene": i, "label": label, "object": rec["objs"][obj]["kind"], "object_id": obj, "value": k,
                    "patches": own, "null": rng.permutation(free)[:len(own)], "area": int(cov[k].sum()),
                    "third": int((own // 12).mean() // 4)})
    return img, ids, out


def subject(args):
    """The networks in f32: from a Hugging Face directory (as shipped, bf16) or from the joint stage of a seed."""
    w = Words(args.work)
    if args.dir:
        from transformers import LlavaForConditionalGeneration
        return w, *export.from_hf(LlavaForConditionalGeneration.from_pretrained(args.dir, dtype=torch.float32))
    vit, proj, lm = nets.Vit(), nets.Projector(), nets.Lm(w.size)
    for n, s in zip((vit, proj, lm), export.states(args, w)):
        n.load_state_dict({k: x.bfloat16().float() if k not in ("mean", "std") else x for k, x in s.items()})
    return w, vit.eval(), proj.eval(), lm.eval()


def ranks(lm, states, its, w, key):
    """log2 of the best rank of each item's label: [items]. states: [144, dim] of one scene."""
    out = []
    for it in its:
        z = lm.logits(states[torch.from_numpy(np.asarray(it[key]))])
        y = z[:, w.word(it["label"])][:, None]
        r = 1 + (z > y).sum(1) + .5 * ((z == y).sum(1) - 1)
        out.append(math.log2(r.min().item()))
    return out


@torch.no_grad()
def read_cells(args, w, vit, proj, lm, vectors=None, cells=CELLS):
    """{cell: [items, depths]}, the same for the null, and the item list."""
    head = torch.tensor(w.head)
    h = len(w.head)
    val, null, all_items = {c: [] for c in cells}, {c: [] for c in cells}, []
    for i in range(args.scenes):
        img, _, its = items(i)
        all_items += its
        p = nets.patches(torch.from_numpy(img)[None])
        feats = {}
        for c, (venc, ldec) in cells.items():
            if vectors is not None:
                x = vectors(i)
            else:
                if venc not in feats:
                    feats[venc] = proj(vit(p, cut=venc)[-2][:, 1:])
                x = feats[venc]
            out = lm(torch.cat([lm.embed(head)[None], x], 1), h, ldec)
            val[c].append(np.array([ranks(lm, s[0, h:], its, w, "patches") for s in out]).T)
            null[c].append(np.array([ranks(lm, s[0, h:], its, w, "null") for s in out]).T)
    return ({c: np.concatenate(v) for c, v in val.items()}, {c: np.concatenate(v) for c, v in null.items()}, all_items)


def name_of(args):
    return "untrained" if args.random else f"{args.variant}.{args.seed}" + (".shipped" if args.dir else "")


def stage_lens(args):
    w, vit, proj, lm = subject(args)
    val, null, its = read_cells(args, w, vit, proj, lm)
    keep = {**{c: v for c, v in val.items()}, **{"null_" + c: v for c, v in null.items()}}
    np.savez_compressed(os.path.join(args.work, f"lens.{name_of(args)}.npz"), scene=[t["scene"] for t in its],
                        label=[t["label"] for t in its], n=[len(t["patches"]) for t in its], third=[t["third"] for t in its],
                        vocab=w.size, **keep)
    n = math.log2(w.size)
    for c, v in val.items():
        print(name_of(args), c, np.round(1 - v.mean(0) / n, 3), "null", np.round(1 - null[c].mean(0) / n, 3))


@torch.no_grad()
def stage_text(args):
    """Text-mode control: words in place of the image vectors, with and without the decoder cut."""
    w, _, _, lm = subject(args)
    out = {}
    group = np.array([w.word(scenes.TEXTURE_OF[p]) if p in scenes.TEXTURE_OF else w.label[i] for i, p in enumerate(scenes.LABELS)])
    place = lm.place if not args.dir else None
    for what, table in (("true words", w.label), ("texture words", group)):
        for placed in (False, True):
            if placed and place is None:
                continue

            def vectors(i):
                _, _, _, rec = scenes.make(i, "test")
                x = lm.embed(torch.from_numpy(table[rec["grid"]]))[None]
                return x + place if placed else x
            val, _, its = read_cells(args, w, None, None, lm, vectors, {"clean": (False, False), "cut": (False, True)})
            # Only parts that own one of their patches: elsewhere the word given is not theirs.
            own = np.array([owns_patch(it) for it in its])
            for c, v in val.items():
                s = 1 - v[own].mean(0) / math.log2(w.size)
                out[f"{what}, {'with' if placed else 'without'} place vectors, {c}"] = [round(float(x), 3) for x in s]
                print(name_of(args), what, "placed" if placed else "bare", c, np.round(s, 3), int(own.sum()), "parts")
    with open(os.path.join(args.work, f"textmode.{name_of(args)}.json"), "w") as f:
        json.dump(out, f, indent=1)


_grids = {}


def owns_patch(it):
    if it["scene"] not in _grids:
        _grids[it["scene"]] = scenes.make(it["scene"], "test")[3]["grid"]
    return any(scenes.LABELS[_grids[it["scene"]][p]] == it["label"] for p in it["patches"])


@torch.no_grad()
def stage_accuracy(args):
    w, vit, proj, lm = subject(args)
    txt = nets.TextTower(w.size)
    txt.load_state_dict(torch.load(os.path.join(args.work, "solo.pt"))["txt"])
    imgs, recs = data.load(args.work, "test")
    n, out = args.scenes, {}

    # Zero-shot: kind of the single object of a scene, prompts averaged over the colours.
    e = []
    for k in scenes.KIND_NAMES:
        rows = [[1] + w.text(f"{scenes.article(c)} {k}") + [2] for c in scenes.COLOR_NAMES]
        e.append(F.normalize(txt(torch.tensor([r + [0] * (max(map(len, rows)) - len(r)) for r in rows]),
                                 torch.tensor([len(r) - 1 for r in rows])).mean(0), dim=0))
    e = torch.stack(e)
    one = [i for i in range(n) if len(recs[i]["objs"]) == 1]
    z = F.normalize(txt.visual_projection(vit.post_layernorm(vit(nets.patches(torch.from_numpy(imgs[one])))[-1][:, 0])), dim=-1)
    y = torch.tensor([scenes.KIND_NAMES.index(recs[i]["objs"][0]["kind"]) for i in one])
    out["zero-shot kind, one object"] = [((z @ e.T).argmax(1) == y).float().mean().item(), len(one)]

    # Questions: one turn each, the answer is the most probable next token of the whole vocabulary.
    hit = {}
    img_vec = torch.cat([proj(vit(nets.patches(torch.from_numpy(imgs[i:i + 50])))[-2][:, 1:]) for i in range(0, n, 50)])
    for i in range(n):
        qs = [q for q in scenes.questions(recs[i], np.random.default_rng([5, i]), 14) if q[0] != "row"]
        rows = [w.turns([(q, a)], False)[0] for _, q, a in qs]
        lens = [len(r) - 2 for r in rows]          # without the answer and </s>
        t = torch.tensor([r[:-2] + [w.pad] * (max(lens) - len(r) + 2) for r in rows])
        x = torch.cat([lm.embed(torch.tensor(w.head)).expand(len(rows), -1, -1), img_vec[i].expand(len(rows), -1, -1), lm.embed(t)], 1)
        h = lm(x)[-1][torch.arange(len(rows)), len(w.head) + 143 + torch.tensor(lens)]
        best = lm.logits(h).argmax(1).tolist()
        for (kind, _, a), b in zip(qs, best):
            hit.setdefault(kind, []).append(b == w.word(a))
            if kind == "cell":
                hit.setdefault("cell, object part" if a in scenes.PARTS else "cell, scenery", []).append(b == w.word(a))
    out["questions"] = [float(np.mean([x for k, v in hit.items() if "," not in k for x in v])), sum(len(v) for k, v in hit.items() if "," not in k)]
    for k in sorted(hit):
        out["question: " + k] = [float(np.mean(hit[k])), len(hit[k])]

    # Captions: greedy; kinds, colours and parts named against those in the scene.
    m = min(n, 200)
    ask = w.turns([("describe the scene.", "yes")], False)[0][:-2]
    x = torch.cat([lm.embed(torch.tensor(w.head)).expand(m, -1, -1), img_vec[:m], lm.embed(torch.tensor(ask)).expand(m, -1, -1)], 1)
    said = [[] for _ in range(m)]
    for _ in range(48):
        best = lm.logits(lm(x)[-1][:, -1]).argmax(1)
        for s, b in zip(said, best.tolist()):
            s.append(b)
        x = torch.cat([x, lm.embed(best)[:, None]], 1)
        if all(2 in s for s in said):
            break
    kind_ok, color_ok, tp, fp, fn = [], [], 0, 0, 0
    for i, s in enumerate(said):
        s = s[:s.index(2)] if 2 in s else s
        if i < 5:
            print("caption", i, w.tok.decode(s))
        objs = recs[i]["objs"]
        kind_ok.append({k for k in scenes.KIND_NAMES if w.word(k) in s} == {o["kind"] for o in objs})
        color_ok += [any(s[j:j + 2] == [w.word(o["color"]), w.word(o["kind"])] for j in range(len(s))) for o in objs]
        named, there = {p for p in scenes.PARTS if w.word(p) in s}, {p for o in objs for p in o["parts"]}
        tp, fp, fn = tp + len(named & there), fp + len(named - there), fn + len(there - named)
    out["caption: all kinds right, none wrong"] = [float(np.mean(kind_ok)), m]
    out["caption: colour before its kind"] = [float(np.mean(color_ok)), len(color_ok)]
    out["caption: parts, precision"] = [tp / max(1, tp + fp), tp + fp]
    out["caption: parts, recall"] = [tp / max(1, tp + fn), tp + fn]
    for k, (v, c) in out.items():
        print(f"{name_of(args)}  {k:40s} {v:.3f}  ({c})")
    with open(os.path.join(args.work, f"accuracy.{name_of(args)}.json"), "w") as f:
        json.dump(out, f, indent=1)


def ratios(s):
    """R, R_V, CI of pooled scores {cell: array}."""
    with np.errstate(all="ignore"):
        return {"R": (s["s01"] - s["s00"]) / (s["s11"] - s["s00"]), "R_V": (s["s10"] - s["s00"]) / (s["s11"] - s["s00"]),
                "CI": 1 - (s["s11"] - s["s01"]) / (s["s10"] - s["s00"])}


def stage_summary(args):
    rng = np.random.default_rng(0)
    lines = []

    def say(*a):
        lines.append(" ".join(str(x) for x in a))
        print(lines[-1])
    final = {}
    for variant, subj in (("blur", "compensating"), ("exact", "non-compensating")):
        runs = []
        for s in range(3):
            f = os.path.join(args.work, f"lens.{variant}.{s}.npz")
            if os.path.exists(f):
                runs.append(np.load(f))
        if not runs:
            continue
        scene, n, third = runs[0]["scene"], runs[0]["n"], runs[0]["third"]
        log_n = math.log2(int(runs[0]["vocab"]))
        scene_ids, at = np.unique(scene, return_inverse=True)
        S = {c: np.stack([1 - r[c] / log_n for r in runs]) for c in CELLS}            # [seed, item, depth]
        null = {c: np.stack([1 - r["null_" + c] / log_n for r in runs]) for c in CELLS}
        say(f"\n{subj} decoder (variant {variant}): {len(scene_ids)} scenes, {len(n)} parts, {len(runs)} projector seeds")
        say("depth   s11   s01   s10   s00     R  [scenes and seeds, 95 %]   R_V    CI  [95 %]            null s11")
        draws_scene = rng.integers(len(scene_ids), size=(args.resamples, len(scene_ids)))
        draws_seed = rng.integers(len(runs), size=(args.resamples, len(runs)))
        counts = np.stack([np.bincount(d, minlength=len(scene_ids)) for d in draws_scene])      # [B, scenes]

        def boot(sel, depth, seeds=None):
            """Resampled ratios over scenes, and over seeds unless one is fixed."""
            m = {}
            per = np.bincount(at[sel], minlength=len(scene_ids))
            for c in CELLS:
                sums = np.stack([np.bincount(at[sel], S[c][k][sel, depth], len(scene_ids)) for k in range(len(runs))])
                b = counts @ sums.T / np.maximum(1, counts @ per)[:, None]                       # [B, seeds]
                m[c] = b[:, seeds] if seeds is not None else np.take_along_axis(b, draws_seed, 1).mean(1)
            point = ratios({c: S[c][:, sel, depth].mean() if seeds is None else S[c][seeds, sel, depth].mean() for c in CELLS})
            return point, {k: np.nanpercentile(v, [2.5, 97.5]) for k, v in ratios(m).items()}
        every = np.ones(len(n), bool)
        for d in range(S["s11"].shape[2]):
            p, q = boot(every, d)
            vals = [S[c][:, :, d].mean() for c in CELLS]
            ok = vals[0] - vals[3] >= .02
            say(f"{d:5d} " + " ".join(f"{v:.3f}" for v in vals) + (
                f"  {p['R']:5.2f}  [{q['R'][0]:5.2f}, {q['R'][1]:5.2f}]          {p['R_V']:5.2f} {p['CI']:5.2f}  [{q['CI'][0]:5.2f}, {q['CI'][1]:5.2f}]"
                if ok else "  undefined") + f"   {null['s11'][:, :, d].mean():.3f}")
        last = S["s11"].shape[2] - 1
        for k in range(len(runs)):
            p, q = boot(every, last, k)
            say(f"seed {k}: " + " ".join(f"{c} {S[c][k, :, last].mean():.3f}" for c in CELLS) + f"  R {p['R']:.3f} [{q['R'][0]:.3f}, {q['R'][1]:.3f}]  CI {p['CI']:.3f} [{q['CI'][0]:.3f}, {q['CI'][1]:.3f}]")
        r = {c: 2 ** ((1 - S[c][:, :, last]) * log_n) for c in CELLS}
        r0 = 2 ** ((1 - null["s11"][:, :, last]) * log_n)
        for c in CELLS:
            say(f"{c}: median rank {np.median(r[c]):.0f}, hit@1 {np.mean(r[c] <= 1):.3f}, hit@5 {np.mean(r[c] <= 5):.3f}, hit@10 {np.mean(r[c] <= 10):.3f}")
        say(f"null of s11: median rank {np.median(r0):.0f}, hit@1 {np.mean(r0 <= 1):.3f}, hit@5 {np.mean(r0 <= 5):.3f}, hit@10 {np.mean(r0 <= 10):.3f}")
        for title, groups in (("patches", [("1", n == 1), ("2-3", (n >= 2) & (n <= 3)), ("4-7", (n >= 4) & (n <= 7)), ("8+", n >= 8)]),
                              ("third", [("top", third == 0), ("middle", third == 1), ("bottom", third == 2)])):
            for g, sel in groups:
                if sel.sum() < 20:
                    continue
                p, q = boot(sel, last)
                say(f"{title} {g:6s} {int(sel.sum()):5d} parts  " + " ".join(f"{c} {S[c][:, sel, last].mean():.3f}" for c in CELLS)
                    + f"  R {p['R']:.2f} [{q['R'][0]:.2f}, {q['R'][1]:.2f}]  CI {p['CI']:.2f} [{q['CI'][0]:.2f}, {q['CI'][1]:.2f}]")
        p, q = boot(every, last)
        final[subj] = (p["R"], q["R"])
    if len(final) == 2:
        (ra, qa), (rb, qb) = final["compensating"], final["non-compensating"]
        apart = qa[0] > qb[1]
        say(f"\nR at the last depth: compensating {ra:.3f} [{qa[0]:.3f}, {qa[1]:.3f}], non-compensating {rb:.3f} [{qb[0]:.3f}, {qb[1]:.3f}]:",
            "the intervals do not overlap; the first decoder compensates more" if apart else "the intervals OVERLAP or are in the wrong order")
    f = os.path.join(args.work, "lens.untrained.npz")
    if os.path.exists(f):
        r = np.load(f)
        log_n = math.log2(int(r["vocab"]))
        say("untrained copy: " + ", ".join(f"depth {d} s11 {1 - r['s11'][:, d].mean() / log_n:.3f} null {1 - r['null_s11'][:, d].mean() / log_n:.3f}" for d in (0, 3, 6)))
    with open(os.path.join(args.work, "summary.txt"), "w") as f:
        f.write("\n".join(lines).lstrip("\n") + "\n")


if __name__ == "__main__":
    a = argparse.ArgumentParser()
    a.add_argument("--work", required=True)
    a.add_argument("stage", choices=["accuracy", "lens", "text", "summary"])
    a.add_argument("--variant", choices=["blur", "exact"], default="blur")
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--dir")
    a.add_argument("--random", action="store_true")
    a.add_argument("--scenes", type=int, default=data.COUNTS["test"])
    a.add_argument("--resamples", type=int, default=2000)
    args = a.parse_args()
    torch.set_num_threads(1)
    globals()["stage_" + args.stage](args)
