"""The training stages. Each is `python train.py --work DIR STAGE [--variant V] [--seed S]`, resumes from its last
checkpoint and does nothing once its result exists. make.py runs them all in order.

clip       vision tower and small text tower, contrastive, plus the same loss between patches and phrases
solo       the same, a third of the batches with patches that see only themselves
text       decoder alone: scenes as grids of words, captions, questions (variant: blur or exact)
features   vision features of the training scenes, once, whole and with patches that see only themselves
projector  decoder frozen (variant, seed)
joint      projector and decoder, vision frozen (variant, seed)

All four cells of the 2x2 are seen in training: a cut is to take away information, not familiarity. The decoder learns
from images whose patches see each other, and meets isolated patches through the projector alone, while it is frozen.
"""
import argparse
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import data
import nets
import scenes
from tok import Words

STEPS = {"clip": 2300, "solo": 300, "text": 1600, "projector": 400, "joint": 200}
RATE = {"clip": 1.2e-3, "solo": 4e-4, "text": 2e-3, "projector": 3e-3, "joint": 2e-4}
BATCH = {"clip": 96, "solo": 96, "text": 16, "projector": 16, "joint": 16}
FEATURES = 16000            # training scenes used with features
QUESTIONS = 7
# Share of the batches in which image places of the decoder see only themselves.
SELF_ONLY = {"text": .08, "projector": .3, "joint": .08}
SOLO = .3                  # share of the projector's batches whose patches saw only themselves in the vision tower


def log(work, name, row):
    with open(os.path.join(work, name + ".log"), "a") as f:
        f.write(json.dumps(row) + "\n")


def schedule(stage, step, steps):
    warm = min(100, steps // 10)
    return RATE[stage] * min(1, (step + 1) / warm) * (.02 + .98 * .5 * (1 + math.cos(math.pi * min(1, step / steps))))


def optimiser(stage, params):
    params = [p for p in params if p.requires_grad]
    groups = [{"params": [p for p in params if p.ndim > 1], "weight_decay": .05},
              {"params": [p for p in params if p.ndim <= 1], "weight_decay": 0.}]
    return torch.optim.AdamW(groups, lr=RATE[stage], betas=(.9, .98))


def loop(args, stage, name, nets_, loss_fn, save):
    """Runs loss_fn(step, rng) -> (loss, figures) with resume; `save()` gives what is stored at the end."""
    done = os.path.join(args.work, name + ".pt")
    if os.path.exists(done):
        return
    steps = STEPS[stage]
    params = [p for n in nets_ for p in n.parameters()]
    opt = optimiser(stage, params)
    ck, start, spent = os.path.join(args.work, name + ".ckpt"), 0, 0.
    if os.path.exists(ck):
        c = torch.load(ck, weights_only=False)
        for n, s in zip(nets_, c["nets"]):
            n.load_state_dict(s)
        opt.load_state_dict(c["opt"])
        start, spent = c["step"], c["spent"]
    t = time.time()
    for step in range(start, steps):
        rng = np.random.default_rng([args.seed, step, len(stage)])
        torch.manual_seed(args.seed * 1000003 + step)
        for g in opt.param_groups:
            g["lr"] = schedule(stage, step, steps)
        with torch.autocast("cpu", torch.bfloat16):
            loss, figures = loss_fn(step, rng)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in params if p.grad is not None], 1.)
        opt.step()
        if step % 25 == 0 or step == steps - 1:
            log(args.work, name, {"step": step, "seconds": round(spent + time.time() - t, 1),
                                  **{k: round(float(v), 4) for k, v in figures.items()}})
        if step % 200 == 199:
            torch.save({"nets": [n.state_dict() for n in nets_], "opt": opt.state_dict(), "step": step + 1,
                        "spent": spent + time.time() - t}, ck + ".tmp")
            os.replace(ck + ".tmp", ck)
    torch.save(save(), done + ".tmp")
    os.replace(done + ".tmp", done)
    if os.path.exists(ck):
        os.remove(ck)


def phrases(w):
    """All things a patch can be: (kind, part) and scenery, with their token ids for the text tower."""
    keys = [(k, p) for k in scenes.KIND_NAMES for p in scenes.parts_of(k)] + [(None, s) for s in scenes.SCENERY]
    return keys, [w.text(f"the {p} of {scenes.article(k)}" if k else f"the {p}") for k, p in keys]


def pad(rows, value=0):
    n = max(map(len, rows))
    return torch.tensor([list(r) + [value] * (n - len(r)) for r in rows]), torch.tensor([len(r) - 1 for r in rows])


def stage_clip(args, stage="clip"):
    w = Words(args.work)
    images, recs = data.load(args.work, "train")
    torch.manual_seed(args.seed)
    vit, txt = nets.Vit(), nets.TextTower(w.size)
    if stage == "solo":
        c = torch.load(os.path.join(args.work, "clip.pt"))
        vit.load_state_dict(c["vit"])
        txt.load_state_dict(c["txt"])
    keys, texts = phrases(w)
    pid, plast = pad([[1] + t + [2] for t in texts])
    index = {k: i for i, k in enumerate(keys)}
    target = np.full((len(recs), 144), -100, np.int64)
    for n, r in enumerate(recs):
        kinds = [o["kind"] for o in r["objs"]]
        for i in np.flatnonzero(r["cover"] >= 32):
            o = r["gobj"][i]
            target[n, i] = index[(kinds[o] if o != 255 else None, scenes.LABELS[r["grid"][i]])]
    part = torch.tensor([k is not None for k, _ in keys])

    def loss_fn(step, rng):
        pick = rng.integers(len(recs), size=BATCH[stage])
        ids, last = pad([[1] + w.text(scenes.short_caption(recs[i], rng)) + [2] for i in pick])
        p = nets.patches(torch.from_numpy(images[pick]))
        keep = None
        y = torch.from_numpy(target[pick])
        if step < (.85 if stage == "clip" else .7) * STEPS[stage]:
            keep = torch.from_numpy(np.stack([rng.permutation(144)[:64] for _ in pick]))
            y = y.gather(1, keep)
        alone = stage == "solo" and step % 3 == 0
        h = vit.post_layernorm(vit(p, keep, alone)[-1])
        z = F.normalize(txt.visual_projection(h).float(), dim=-1)
        t = txt(ids, last)
        sim = z[:, 0] @ t.T * txt.scale.exp().clamp(max=100)
        same = torch.arange(len(pick))
        contrast = (F.cross_entropy(sim, same) + F.cross_entropy(sim.T, same)) / 2
        e = txt(pid, plast)
        m = y.ne(-100)
        yy = y[m]
        reg = z[:, 1:][m] @ e.T * txt.region_scale.exp().clamp(max=100)
        each = F.cross_entropy(reg, yy, reduction="none")
        weight = torch.where(part[yy], 1., .3)
        region = (each * weight).sum() / weight.sum()
        hit = (reg.argmax(1) == yy)[part[yy]].float().mean()
        return contrast + region, {"contrast": contrast.item(), "top1": (sim.argmax(1) == same).float().mean(),
                                   "region": region.item(), "part_patch_hit": hit, "solo": alone}
    loop(args, stage, stage, [vit, txt], loss_fn, lambda: {"vit": vit.state_dict(), "txt": txt.state_dict()})


def text_batch(w, recs, rng, words):
    """Token rows after the image for a batch: ids [b, t] padded, flags, and per scene whether it is renamed."""
    ids, flags = [], []
    for r, word in zip(recs, words):
        pairs = [("describe the scene.", scenes.caption(r, rng, word))]
        pairs += [(q, a) for _, q, a in scenes.questions(r, rng, QUESTIONS, word)]
        a, f = w.turns([pairs[i] for i in rng.permutation(len(pairs))], False)
        ids.append(a)
        flags.append(f)
    x, _ = pad(ids, w.pad)
    y, _ = pad(flags, 0)
    return x, y.bool()


def head_ids(w, rng):
    """Text before the image: "USER: " mostly, sometimes nothing but <s>."""
    return w.head if rng.random() < .8 else [1]


def text_loss(lm, w, head, img, x, flag, cut=False):
    """Runs prefix + image vectors + text. Returns image states at all depths, mean loss and accuracy of the answers."""
    b, h = len(x), len(head)
    pre = lm.embed(torch.tensor(head)).expand(b, h, -1)
    out = lm(torch.cat([pre, img, lm.embed(x[:, :-1])], 1), h, cut)
    states = out[-1][:, h + 143:]                     # predicts x[:, 0], x[:, 1], …
    logits = lm.logits(states[flag])
    y = x[flag]
    return out[-1][:, h:h + 144], F.cross_entropy(logits, y), (logits.argmax(1) == y).float().mean()


def stage_text(args):
    w = Words(args.work)
    _, recs = data.load(args.work, "train")
    torch.manual_seed(args.seed)
    lm = nets.Lm(w.size)
    grid = np.stack([r["grid"] for r in recs])
    gobj = np.stack([r["gobj"] for r in recs])
    group = np.array([w.word(scenes.TEXTURE_OF[p]) if p in scenes.TEXTURE_OF else w.label[i]
                      for i, p in enumerate(scenes.LABELS)])
    thing = w.word("thing")
    blur = args.variant == "blur"
    # Part words that share the texture of a label, as a row of zeros and ones over LABELS (scenery: itself).
    alike = np.array([[scenes.TEXTURE_OF.get(a, a) == scenes.TEXTURE_OF.get(b, b) for b in scenes.LABELS] for a in scenes.LABELS])
    labels = torch.from_numpy(w.label)

    def loss_fn(step, rng):
        pick = rng.integers(len(recs), size=BATCH["text"])
        rows = [recs[i] for i in pick]
        words = rng.random(len(pick)) < .2
        true = w.label[grid[pick]]
        soft = group[grid[pick]]
        for n, r in enumerate(rows):
            if words[n]:              # renamed scene: other words, upside down
                for i in np.flatnonzero(gobj[pick[n]] != 255):
                    k = r["objs"][gobj[pick[n], i]]["kind"]
                    true[n, i] = w.word(scenes.RENAMED[k][1][scenes.LABELS[grid[pick[n], i]]])
        flip = np.arange(144).reshape(12, 12)[::-1].ravel()
        text_rows = []
        for n, r in enumerate(rows):
            # Any colour for any kind: the grid does not tell it, and which pairs are held out must not be learnt here.
            r = dict(r, objs=[dict(o, color=scenes.COLOR_NAMES[rng.integers(10)]) for o in r["objs"]])
            if words[n]:
                true[n], soft[n] = true[n][flip], soft[n][flip]
                r = dict(r, grid=r["grid"][flip], gobj=r["gobj"][flip], cover=r["cover"][flip])
            text_rows.append(r)
        seen = true.copy()
        if blur:
            share = np.array([.2, .5, .9, 1.])[rng.integers(4, size=(len(pick), 1))]
            u = rng.random(true.shape)
            seen = np.where(u < share, soft, true)
            seen = np.where(rng.random(true.shape) < .06, thing, seen)
        x, flag = text_batch(w, text_rows, rng, words)
        vec = lm.embed(torch.from_numpy(seen))
        if blur:
            # Half of the blurred places of drawn scenes hold a random mixture of the words that share the texture,
            # often one that is not the true one: what a patch read without context would say.
            soft_place = (u < share) & (seen != thing) & ~words[:, None] & (rng.random(true.shape) < .5)
            # An eighth of them mix all words.
            among = np.where(rng.random(true.shape + (1,)) < .125, True, alike[grid[pick]])
            weight = rng.gamma(.4, size=true.shape + (len(scenes.LABELS),)) * among + 1e-12
            mixed = torch.from_numpy((weight / weight.sum(-1, keepdims=True)).astype(np.float32)) @ lm.embed(labels)
            vec = torch.where(torch.from_numpy(soft_place)[..., None], mixed.float(), vec)
        img = vec + lm.place
        cut = rng.random() < SELF_ONLY["text"]
        h, answers, acc = text_loss(lm, w, head_ids(w, rng), img, x, flag, cut)
        logits = lm.logits(h.reshape(-1, nets.DIM))
        y = torch.from_numpy(true).reshape(-1)
        each = F.cross_entropy(logits, y, reduction="none")
        obj = torch.tensor(np.stack([r["gobj"] for r in text_rows]) != 255).reshape(-1)
        own, back = each[obj].mean(), each[~obj].mean()
        hit = (logits.argmax(1) == y)[obj].float().mean()
        return own + .2 * back + answers, {"own": own.item(), "own_hit": hit, "answers": answers.item(), "acc": acc, "cut": cut}
    name = "text." + args.variant
    loop(args, "text", name, [lm], loss_fn, lambda: {"lm": lm.state_dict()})


def stage_features(args):
    images, _ = data.load(args.work, "train")
    vit = nets.Vit()
    vit.load_state_dict(torch.load(os.path.join(args.work, "solo.pt"))["vit"])
    for name, alone in (("features", False), ("features.solo", True)):
        done = os.path.join(args.work, name + ".npy")
        if os.path.exists(done):
            continue
        out = np.empty((FEATURES, 144, nets.DIM), np.float16)
        with torch.no_grad():
            for i in range(0, FEATURES, 100):
                out[i:i + 100] = vit(nets.patches(torch.from_numpy(images[i:i + 100])), cut=alone)[-2][:, 1:].numpy()
        np.save(done + ".tmp.npy", out)
        os.replace(done + ".tmp.npy", done)


def stage_projector(args, joint=False):
    w = Words(args.work)
    _, recs = data.load(args.work, "train")
    whole, alone = (np.load(os.path.join(args.work, f + ".npy"), mmap_mode="r") for f in ("features", "features.solo"))
    lm, proj = nets.Lm(w.size), None
    torch.manual_seed(args.seed)
    proj = nets.Projector()
    sample = torch.from_numpy(whole[:500].astype(np.float32)).reshape(-1, nets.DIM)
    proj.mean, proj.std = sample.mean(0), sample.std(0)
    name = f"{'joint' if joint else 'projector'}.{args.variant}.{args.seed}"
    if joint:
        c = torch.load(os.path.join(args.work, f"projector.{args.variant}.{args.seed}.pt"))
        proj.load_state_dict(c["proj"])
    lm.load_state_dict(torch.load(os.path.join(args.work, f"text.{args.variant}.pt"))["lm"])
    lm.place.requires_grad_(False)
    if not joint:
        lm.requires_grad_(False)
    stage = "joint" if joint else "projector"

    def loss_fn(step, rng):
        pick = rng.integers(FEATURES, size=BATCH[stage])
        x, flag = text_batch(w, [recs[i] for i in pick], rng, [False] * len(pick))
        lone, cut = not joint and rng.random() < SOLO, rng.random() < SELF_ONLY[stage]
        img = proj(torch.from_numpy((alone if lone else whole)[pick].astype(np.float32)))
        _, answers, acc = text_loss(lm, w, head_ids(w, rng), img, x, flag, cut)
        return answers, {"answers": answers.item(), "acc": acc, "solo": lone, "cut": cut}
    both = [proj, lm] if joint else [proj]
    loop(args, stage, name, both, loss_fn, lambda: {"proj": proj.state_dict(), **({"lm": lm.state_dict()} if joint else {})})


if __name__ == "__main__":
    a = argparse.ArgumentParser()
    a.add_argument("--work", required=True)
    a.add_argument("stage", choices=["clip", "solo", "text", "features", "projector", "joint"])
    a.add_argument("--variant", choices=["blur", "exact"], default="blur")
    a.add_argument("--seed", type=int, default=0)
    args = a.parse_args()
    torch.set_num_threads(1)
    {"clip": stage_clip, "solo": lambda s: stage_clip(s, "solo"), "text": stage_text, "features": stage_features, "projector": stage_projector,
     "joint": lambda s: stage_projector(s, True)}[args.stage](args)
