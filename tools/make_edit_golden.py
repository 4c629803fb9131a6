"""Makes tests/golden/edits: what every edge mode, group and state edit does to the tiny
LLaVA checkpoints of tests/golden/llava, computed by a second implementation.

The forward pass is written out below in plain PyTorch (f32) with a place to edit at each
site, and is first compared with transformers' own model (clean run, eager attention). Cuts
are additive masks, everything else follows the definitions of docs/conditions.md; random
numbers are Philox4x32-10, also written here. Nothing of tapetum takes part.

expected.safetensors of each checkpoint holds, f32 unless said otherwise:
  part, object, other_part i32 [n]   patches of the masks
  and for each condition C, whose text stands in the metadata as "condition.C":
  C/projector.out [n_patches][d_lm]   C/lm.depth [n_tok][d_lm], after the last block
Beside it: u_lm (one vector), u_vision (one per block), and trace, states of the mirrored
picture as `tapetum trace` writes them. Versions: requirements.txt.
"""

import math
import os
import sys

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import LlavaForConditionalGeneration

LLAVA = "tests/golden/llava"
OUT = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/edits"
GROUP, EDGE, PERMUTE, NOISE, SCRAMBLE = 1, 2, 3, 4, 5  # purposes of random numbers


def philox(counter, key):
    c0, c1, c2, c3 = (int(c) & 0xFFFFFFFF for c in counter)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = ((p1 >> 32) ^ c1 ^ k0, p1 & 0xFFFFFFFF,
                          (p0 >> 32) ^ c3 ^ k1, p0 & 0xFFFFFFFF)
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


class Stack:
    """Tokens of one stack: which are patches, and where."""

    def __init__(self, n, first, side):
        self.n, self.first, self.side = n, first, side
        self.patches = range(first, first + side * side)

    def of(self, patches):
        out = np.zeros(self.n, bool)
        out[[self.first + p for p in patches]] = True
        return out

    def place(self, t):
        p = t - self.first
        return (p // self.side, p % self.side) if t in self.patches else None

    def distance(self, a, b):
        x, y = self.place(a), self.place(b)
        return None if x is None or y is None else max(abs(x[0] - y[0]), abs(x[1] - y[1]))

    def within(self, group, r):
        """Patches at most r from a patch of the group."""
        return np.array([any(group[j] and self.distance(i, j) is not None
                             and self.distance(i, j) <= r for j in self.patches)
                         if i in self.patches else False for i in range(self.n)])

    def dilate(self, group, r):
        return group | self.within(group, r)

    def ring(self, group, r):
        return self.within(group, r) & ~group

    def erode(self, group, r):
        return group & ~self.within(self.image & ~group, r)

    def shift(self, group, dx, dy):
        out = np.zeros(self.n, bool)
        for t in self.patches:
            y, x = self.place(t)
            if group[t] and 0 <= y + dy < self.side and 0 <= x + dx < self.side:
                out[self.first + (y + dy) * self.side + x + dx] = True
        return out

    def random(self, n, seed, outside=None):
        drawn = []
        for t in self.patches:
            if outside is None or not outside[t]:
                w = philox((t - self.first, 0, 0, GROUP), seed)
                drawn.append((w[0] << 32 | w[1], t))
        out = np.zeros(self.n, bool)
        out[[t for _, t in sorted(drawn)[:n]]] = True
        return out

    @property
    def image(self):
        return self.of(range(self.side * self.side))


# ---- what a condition asks for ----

def edges(stack, q, k, mode="knockout", blocks=None, heads=None, factor=1.0, drop=False,
          fraction=None, beyond=None, empty="error"):
    return dict(kind="edges", stack=stack, q=q, k=k, mode=mode, blocks=blocks, heads=heads,
                factor=factor, drop=drop, fraction=fraction, beyond=beyond, empty=empty)


def edit(site, rows, how, heads=None, **more):
    return dict(kind="edit", site=site, rows=rows, how=how, heads=heads, **more)


def touched(atom, s, causal):
    m = atom["q"][:, None] & atom["k"][None, :]
    for q in range(s.n):
        for k in np.flatnonzero(m[q]):
            far = atom["beyond"] is None or s.distance(q, k) is None \
                or s.distance(q, k) > atom["beyond"]
            share = atom["fraction"] is None or \
                philox((q, k // 4, 0, EDGE), atom["fraction"][1])[k % 4] \
                < atom["fraction"][0] * 2.0 ** 32
            m[q, k] = far and share and (atom["drop"] or q != k) and (not causal or k <= q)
    return m


class Model:
    def __init__(self, directory):
        hf = LlavaForConditionalGeneration.from_pretrained(
            directory, dtype=torch.float32, attn_implementation="eager").eval()
        self.hf, self.c = hf, hf.config
        self.tower, self.text = hf.model.vision_tower, hf.model.language_model
        self.v, self.l = hf.config.vision_config, hf.config.text_config
        self.n_read = len(self.tower.encoder.layers) + 1 + self.c.vision_feature_layer

    # -- sites --

    def at(self, name, x, d_head=None):
        self.seen[name] = x.clone()
        new = x.clone()
        for a in self.atoms:
            if a["kind"] != "edit" or a["site"] != name:
                continue
            rows = np.flatnonzero(a["rows"])
            cols = torch.arange(x.shape[1]) if a["heads"] is None else torch.cat(
                [torch.arange(h * d_head, (h + 1) * d_head) for h in a["heads"]])
            new[np.ix_(rows, cols)] = self.made(a, name, x, rows)[:, cols]
        return new

    def made(self, a, name, x, rows):
        how, h = a["how"], x[rows]
        if how == "mean":
            return x[np.flatnonzero(a["over"])].mean(0, keepdim=True).expand_as(h)
        if how == "zero":
            return torch.zeros_like(h)
        if how == "noise":
            place = 0
            for ch in name.encode():
                place = (31 * place + ch) & 0xFFFFFFFF
            e = torch.empty_like(h)
            for i, row in enumerate(rows):
                for c in range(x.shape[1]):
                    w = philox((row, c // 2, place, NOISE), a["seed"])
                    r = math.sqrt(-2 * math.log((w[0] + 1) / 2.0 ** 32))
                    angle = 2 * math.pi * w[1] / 2.0 ** 32
                    e[i, c] = r * (math.sin(angle) if c % 2 else math.cos(angle))
            return (0 if a.get("instead") else h) + a["sd"] * e
        if how == "scramble":
            place = 0
            for ch in name.encode():
                place = (31 * place + ch) & 0xFFFFFFFF
            cols = range(x.shape[1]) if a["heads"] is None else [
                c for g in a["heads"] for c in range(g * a["d_head"], (g + 1) * a["d_head"])]
            drawn = [philox((c, 0, place, SCRAMBLE), a["seed"]) for c in cols]
            order = sorted((w[0] << 32 | w[1], c) for w, c in zip(drawn, cols))
            out = h.clone()
            for c, w, (_, source) in zip(cols, drawn, order):
                out[:, c] = h[:, source] * (-1 if w[2] >> 31 else 1)
            return out
        if how == "permute":
            order = sorted((lambda w, r: (w[0] << 32 | w[1], r))(
                philox((r, 0, 0, PERMUTE), a["seed"]), r) for r in rows)
            return x[[r for _, r in order]]
        if how == "copy":
            return x[a["source"]]
        if how == "steer":
            return h + a["w"] * a["u"]
        if how == "project":
            u = a["u"]
            p = (h @ u) / (u @ u)
            if a.get("positive"):
                p = p.clamp(min=0)
            return h - a["w"] * p[:, None] * u
        if how == "patch":
            return a["states"][name][rows]
        raise ValueError(how)

    # -- attention --

    def attend(self, stack, b, q, k, v, n_heads, n_kv, d_head, causal):
        n = q.shape[0]
        s = self.stacks[stack]
        q, k, v = (t.view(n, -1, d_head).transpose(0, 1) for t in (q, k, v))
        k, v = (t.repeat_interleave(n_heads // n_kv, 0) for t in (k, v))
        base = torch.zeros(n, n)
        if causal:
            base = torch.full((n, n), -math.inf).triu(1)
        raw = q @ k.transpose(1, 2) / math.sqrt(d_head) + base
        if stack + str(b) not in self.patterns:
            self.patterns[stack + str(b)] = raw.softmax(-1)
        clean = self.patterns[stack + str(b)]
        out = torch.zeros(n, n_heads, d_head)
        for h in range(n_heads):
            act = [a for a in self.atoms if a["kind"] == "edges" and a["stack"] == stack
                   and (a["blocks"] is None or b in a["blocks"])
                   and (a["heads"] is None or h in a["heads"])]
            sets = {m: np.zeros((n, n), bool) for m in ("knockout", "zero", "freeze")}
            level, scores = np.zeros(n, bool), raw[h].clone()
            for a in act:
                m = touched(a, s, causal)
                if a["mode"] == "uniform":
                    level |= a["q"]
                elif a["mode"] == "scale":
                    scores = scores + torch.from_numpy(m) * math.log(a["factor"])
                else:
                    sets[a["mode"]] |= m
            scores = torch.where(torch.from_numpy(level)[:, None],
                                 torch.where(scores > -math.inf, 0.0, -math.inf), scores)
            cut = torch.zeros(n, n)
            cut[torch.from_numpy(sets["knockout"])] = -math.inf
            emptied = (scores + cut == -math.inf).all(1)
            for q_row in np.flatnonzero(emptied.numpy()):
                if any(a["empty"] == "self" and a["q"][q_row] for a in act):
                    cut[q_row, q_row] = 0
                    emptied[q_row] = False
            w = (scores + cut).softmax(-1)
            w[emptied] = 0
            is_cut = cut == -math.inf
            frozen = torch.from_numpy(sets["freeze"]) & ~is_cut
            w = torch.where(frozen, clean[h], w)
            w = torch.where(torch.from_numpy(sets["zero"]) & ~is_cut, 0.0, w)
            out[:, h] = w @ v[h]
        return out.reshape(n, -1)

    # -- the two stacks --

    def vision_block(self, b, x):
        m, v = self.tower.encoder.layers[b], self.v
        name, d = f"vision.{b}.", v.hidden_size // v.num_attention_heads
        x = self.at(name + "resid_pre", x)
        y = self.at(name + "attn_in", m.layer_norm1(x))
        q = self.at(name + "q", m.self_attn.q_proj(y), d)
        k = self.at(name + "k", m.self_attn.k_proj(y), d)
        w = self.at(name + "v", m.self_attn.v_proj(y), d)
        z = self.attend("vision", b, q, k, w, v.num_attention_heads,
                        v.num_attention_heads, d, False)
        z = self.at(name + "z", z, d)
        x = self.at(name + "resid_mid",
                    x + self.at(name + "attn_out", m.self_attn.out_proj(z)))
        y = self.at(name + "mlp_in", m.layer_norm2(x))
        y = m.mlp.fc1(y)
        y = self.at(name + "mlp_act", y * torch.sigmoid(1.702 * y))
        return self.at(name + "resid_post", x + self.at(name + "mlp_out", m.mlp.fc2(y)))

    def rotate(self, x, d):
        n = x.shape[0]
        theta = self.l.rope_parameters["rope_theta"]
        angle = torch.arange(n)[:, None] / theta ** (torch.arange(0, d, 2) / d)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        a, b = x.view(n, -1, d).chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).reshape(n, -1)

    def lm_block(self, b, x):
        m, l = self.text.layers[b], self.l
        name, d = f"lm.{b}.", l.head_dim
        x = self.at(name + "resid_pre", x)
        y = self.at(name + "attn_in", m.input_layernorm(x))
        q = self.at(name + "q", self.rotate(m.self_attn.q_proj(y), d), d)
        k = self.at(name + "k", self.rotate(m.self_attn.k_proj(y), d), d)
        v = self.at(name + "v", m.self_attn.v_proj(y), d)
        z = self.attend("lm", b, q, k, v, l.num_attention_heads, l.num_key_value_heads, d,
                        True)
        z = self.at(name + "z", z, d)
        x = self.at(name + "resid_mid",
                    x + self.at(name + "attn_out", m.self_attn.o_proj(z)))
        y = self.at(name + "mlp_in", m.post_attention_layernorm(x))
        g = m.mlp.gate_proj(y)
        y = self.at(name + "mlp_act", g * torch.sigmoid(g) * m.mlp.up_proj(y))
        return self.at(name + "resid_post", x + self.at(name + "mlp_out", m.mlp.down_proj(y)))

    @torch.no_grad()
    def run(self, pixels, ids, image_rows, atoms, stacks, patterns=None):
        """All states by name. patterns: attention of the clean run, for freeze."""
        self.atoms, self.stacks, self.seen = atoms, stacks, {}
        self.patterns = {} if patterns is None else patterns
        e = self.tower.embeddings
        p = self.v.patch_size
        x = torch.nn.functional.unfold(pixels, p, stride=p)[0].T.contiguous()
        x = self.at("vision.pixels", x)  # rows are patches: channel, row, column
        pixels = torch.nn.functional.fold(x.T[None], pixels.shape[2:], p, stride=p)
        x = e.patch_embedding(pixels).flatten(2).transpose(1, 2)[0]
        x = self.at("vision.patch_embed", torch.cat([e.class_embedding[None], x]))
        x = self.at("vision.pre_norm",
                    self.tower.pre_layrnorm(x + e.position_embedding.weight))
        for b in range(self.n_read):
            x = self.vision_block(b, x)
        p = self.hf.model.multi_modal_projector
        x = self.at("vision.features", x[1:])
        x = self.at("projector.in", x)
        x = self.at("projector.out", p.linear_2(p.act(p.linear_1(x))))
        self.seen["projector.done"] = x
        h = self.text.embed_tokens(ids).clone()
        h[image_rows] = x
        h = self.at("lm.embed", h)
        for b in range(len(self.text.layers)):
            h = self.lm_block(b, h)
        self.seen["lm.done"] = h
        return self.seen


def conditions(m, V, L, masks, u_lm, u_vision, clean, other, where):
    """name: (text, atoms)"""
    part_v, part_l = V.of(masks["part"]), L.of(masks["part"])
    obj_v, obj_l = V.of(masks["object"]), L.of(masks["object"])
    oth_v, oth_l = V.of(masks["other_part"]), L.of(masks["other_part"])
    img_v, img_l = V.image, L.image
    all_v, all_l = np.ones(V.n, bool), np.ones(L.n, bool)
    cls = np.arange(V.n) == 0
    out_v, out_l = img_v & ~part_v, img_l & ~part_l
    prefix = np.zeros(L.n, bool)
    prefix[1:L.first] = True
    question = np.zeros(L.n, bool)
    question[L.first + L.side ** 2:] = True
    last = np.arange(L.n) == L.n - 1
    per = m.l.num_attention_heads // m.l.num_key_value_heads
    kv = f"{per}-{2 * per - 1}" if per > 1 else "1"
    dim = m.l.head_dim
    V1 = [1]
    low_v = V.of(range(V.side * (V.side - 1), V.side ** 2))
    low_l = L.of(range(V.side * (V.side - 1), V.side ** 2))

    def nearest(s, to, source):
        out = []
        for t in np.flatnonzero(to):
            y, x = s.place(t)
            out.append(min(np.flatnonzero(source),
                           key=lambda j: ((s.place(j)[0] - y) ** 2 + (s.place(j)[1] - x) ** 2, j)))
        return out

    c = {}
    # ---- modes ----
    c["zero"] = ("vision: image <- image zero; lm[0,2]: part <- outside zero",
                 [edges("vision", img_v, img_v, "zero"),
                  edges("lm", part_l, out_l, "zero", [0, 2])])
    c["uniform"] = ("vision[1]: part <- all uniform; lm[1-].h[1]: image <- all uniform",
                    [edges("vision", part_v, all_v, "uniform", V1),
                     edges("lm", img_l, all_l, "uniform", [1, 2], [1])])
    c["freeze"] = ("vision[0]: part <- outside; vision[1]: image <- image freeze; "
                   "lm[0]: image <- prefix; lm[1-2].h[0,2]: part <- all freeze drop self",
                   [edges("vision", part_v, out_v, blocks=[0]),
                    edges("vision", img_v, img_v, "freeze", V1),
                    edges("lm", img_l, prefix, blocks=[0]),
                    edges("lm", part_l, all_l, "freeze", [1, 2], [0, 2], drop=True)])
    c["scales"] = ("vision: image <- image|cls scale 0.5; vision: part <- outside scale 3; "
                   "lm: image <- image scale 0.25; lm[1]: part <- image scale 0.5",
                   [edges("vision", img_v, img_v | cls, "scale", factor=0.5),
                    edges("vision", part_v, out_v, "scale", factor=3),
                    edges("lm", img_l, img_l, "scale", factor=0.25),
                    edges("lm", part_l, img_l, "scale", [1], factor=0.5)])
    c["empty"] = ("vision[0]: part <- all drop self empty zero; "
                  "vision[1]: part <- all drop self empty self; "
                  "lm[1].h[0]: image <- all drop self empty zero",
                  [edges("vision", part_v, all_v, blocks=[0], drop=True, empty="zero"),
                   edges("vision", part_v, all_v, blocks=V1, drop=True, empty="self"),
                   edges("lm", img_l, all_l, blocks=[1], heads=[0], drop=True,
                         empty="zero")])
    c["fraction"] = ("vision: image <- image|cls fraction 0.5 seed 7; "
                     "lm: image <- image|prefix fraction 0.3 seed 11",
                     [edges("vision", img_v, img_v | cls, fraction=(0.5, 7)),
                      edges("lm", img_l, img_l | prefix, fraction=(0.3, 11))])
    c["beyond"] = ("vision: image <- image|cls beyond 1; lm: image <- image beyond 2",
                   [edges("vision", img_v, img_v | cls, beyond=1),
                    edges("lm", img_l, img_l, beyond=2)])
    c["together"] = ("lm[1]: part <- outside; lm[1]: image <- image scale 0.3; "
                     "lm[1]: image <- prefix zero; lm[1]: object <- all freeze; "
                     "vision[0].h[0]: image <- cls; vision[0]: image <- image zero",
                     [edges("lm", part_l, out_l, blocks=[1]),
                      edges("lm", img_l, img_l, "scale", [1], factor=0.3),
                      edges("lm", img_l, prefix, "zero", [1]),
                      edges("lm", obj_l, all_l, "freeze", [1]),
                      edges("vision", img_v, cls, blocks=[0], heads=[0]),
                      edges("vision", img_v, img_v, "zero", [0])])
    # ---- groups ----
    c["rings"] = ("vision: part <- ring(1); lm: ring(object,1) <- dilate(part,1); "
                  "lm[1]: image <- erode(object,1)",
                  [edges("vision", part_v, V.ring(part_v, 1)),
                   edges("lm", L.ring(obj_l, 1), L.dilate(part_l, 1)),
                   edges("lm", img_l, L.erode(obj_l, 1), blocks=[1])])
    c["chance"] = ("vision: random(3,5) <- random(object,9); lm: shift(1,-1) <- "
                   "~(part|other_part); lm[2]: image <- random(4,5)-part",
                   [edges("vision", V.random(3, 5), V.random(int(obj_v.sum()), 9, obj_v)),
                    edges("lm", L.shift(part_l, 1, -1), img_l & ~(part_l | oth_l)),
                    edges("lm", img_l, L.random(4, 5) & ~part_l, blocks=[2])])
    c["text"] = ('lm: span("part of") <- image; lm[1]: last <- question|row_last; '
                 "vision: row_last <- background&~other_part",
                 [edges("lm", where["part of"], img_l),
                  edges("lm", last, question | low_l, blocks=[1]),
                  edges("vision", low_v, img_v & ~obj_v & ~oth_v)])
    # ---- edits ----
    c["mean"] = ("vision: mean object; lm: mean part; lm[2]: mean(prefix) other_part at "
                 "mlp_in",
                 [edit("vision.pre_norm", obj_v, "mean", over=img_v),
                  edit("lm.embed", part_l, "mean", over=img_l),
                  edit("lm.2.mlp_in", oth_l, "mean", over=prefix)])
    c["zero_heads"] = ("vision[1].h[1]: zero all; lm[1].h[0,2]: zero image",
                       [edit("vision.1.z", all_v, "zero", [1]),
                        edit("lm.1.z", img_l, "zero", [0, 2])])
    c["zero_keys"] = (f"vision[0].h[0,3]: zero part at k; lm[1].h[{kv}]: zero part at v; "
                      "lm[2]: zero outside at k; lm[0].h[1]: zero image at q",
                      [edit("vision.0.k", part_v, "zero", [0, 3]),
                       edit("lm.1.v", part_l, "zero", [1]),
                       edit("lm.2.k", out_l, "zero"),
                       edit("lm.0.q", img_l, "zero", [1])])
    c["noise"] = ("vision[1]: noise(0.4,4) part at mlp_out; lm: noise(0.5,3) image; "
                  "projector: noise(0.1,3) outside at in",
                  [edit("vision.1.mlp_out", part_v, "noise", sd=0.4, seed=4),
                   edit("lm.embed", img_l, "noise", sd=0.5, seed=3),
                   edit("projector.in", out_l[L.first:L.first + V.side ** 2], "noise",
                        sd=0.1, seed=3)])
    c["permute"] = ("vision[1]: permute(6) object at resid_post; lm: permute(5) image; "
                    "vision: permute(2) image at patch_embed",
                    [edit("vision.1.resid_post", obj_v, "permute", seed=6),
                     edit("lm.embed", img_l, "permute", seed=5),
                     edit("vision.patch_embed", img_v, "permute", seed=2)])
    c["copy"] = ("vision[0]: copy(object) background at attn_in; lm: copy(part) ring(1); "
                 "lm[1]: copy(prefix) question at attn_out; lm[2]: copy(shift(0,1)) "
                 "shift(0,-1)",
                 [edit("vision.0.attn_in", img_v & ~obj_v, "copy",
                       source=nearest(V, img_v & ~obj_v, obj_v)),
                  edit("lm.embed", L.ring(part_l, 1), "copy",
                       source=nearest(L, L.ring(part_l, 1), part_l)),
                  edit("lm.1.attn_out", question, "copy",
                       source=[np.flatnonzero(prefix)[i % prefix.sum()]
                               for i in range(question.sum())]),
                  edit("lm.2.resid_pre", L.shift(part_l, 0, -1), "copy",
                       source=list(np.flatnonzero(L.shift(part_l, 0, 1))))])
    c["steer"] = ('vision[0-1]: steer("{}/u_vision.safetensors",1.5) image; '
                  'lm[1]: steer("{}/u_lm.safetensors",-0.7) part at resid_mid',
                  [edit("vision.0.resid_pre", img_v, "steer", u=u_vision[0], w=1.5),
                   edit("vision.1.resid_pre", img_v, "steer", u=u_vision[1], w=1.5),
                   edit("lm.1.resid_mid", part_l, "steer", u=u_lm, w=-0.7)])
    c["project"] = ('vision[1]: project_out("{}/u_vision.safetensors",0.5) part at '
                    'attn_out; lm[1]: project_out("{}/u_lm.safetensors",1,positive) image '
                    "at resid_post",
                    [edit("vision.1.attn_out", part_v, "project", u=u_vision[1], w=0.5),
                     edit("lm.1.resid_post", img_l, "project", u=u_lm, w=1, positive=True)])
    c["patch_clean"] = ("vision[0]: image <- image|cls; vision[1]: patch(clean) part at "
                        "attn_out; lm[0]: image <- image; lm[2]: patch(clean) part; "
                        "lm[1].h[1]: patch(clean) outside at z",
                        [edges("vision", img_v, img_v | cls, blocks=[0]),
                         edit("vision.1.attn_out", part_v, "patch", states=clean),
                         edges("lm", img_l, img_l, blocks=[0]),
                         edit("lm.2.resid_pre", part_l, "patch", states=clean),
                         edit("lm.1.z", out_l, "patch", [1], states=clean)])
    c["patch_file"] = ('vision[1]: patch("{}/trace.safetensors") image at q; '
                       'vision[0]: patch("{}/trace.safetensors") part at resid_post; '
                       'lm[1]: patch("{}/trace.safetensors") part|question at mlp_out; '
                       'lm[2]: patch("{}/trace.safetensors") outside',
                       [edit("vision.1.q", img_v, "patch", states=other),
                        edit("vision.0.resid_post", part_v, "patch", states=other),
                        edit("lm.1.mlp_out", part_l | question, "patch", states=other),
                        edit("lm.2.resid_pre", out_l, "patch", states=other)])
    c["pixels"] = ("vision: noise(0.8,5,instead) object at pixels; lm[1]: "
                   "noise(0.2,5,instead) part at mlp_out; vision: zero other_part at "
                   "patch_embed",
                   [edit("vision.pixels", obj_v[1:], "noise", sd=0.8, seed=5,
                         instead=True),
                    edit("lm.1.mlp_out", part_l, "noise", sd=0.2, seed=5, instead=True),
                    edit("vision.patch_embed", oth_v, "zero")])
    c["scramble"] = ("projector: scramble(3) image at in; projector: scramble(3) image at "
                     "out; lm[1].h[0,2]: scramble(4) image at z; vision: scramble(9) part "
                     "at pixels",
                     [edit("projector.in", img_v[1:], "scramble", seed=3),
                      edit("projector.out", img_v[1:], "scramble", seed=3),
                      edit("lm.1.z", img_l, "scramble", [0, 2], seed=4, d_head=dim),
                      edit("vision.pixels", part_v[1:], "scramble", seed=9)])
    features = part_v[1:]
    c["sites"] = ("vision: zero part at features; projector: mean object at out; "
                  "vision[1]: zero part at mlp_act; lm[0]: zero other_part at mlp_act; "
                  "lm[1]: zero last at attn_in; lm[2]: zero part at resid_post; "
                  "vision[0]: mean outside at resid_mid; vision[0]: zero cls at mlp_in",
                  [edit("vision.features", features, "zero"),
                   edit("projector.out", obj_v[1:], "mean", over=img_v[1:]),
                   edit("vision.1.mlp_act", part_v, "zero"),
                   edit("lm.0.mlp_act", oth_l, "zero"),
                   edit("lm.1.attn_in", last, "zero"),
                   edit("lm.2.resid_post", part_l, "zero"),
                   edit("vision.0.resid_mid", out_v, "mean", over=img_v),
                   edit("vision.0.mlp_in", cls, "zero")])
    return c


def make(name, masks):
    directory = f"{OUT}/{name}"
    os.makedirs(directory, exist_ok=True)
    m = Model(f"{LLAVA}/{name}")
    golden = load_file(f"{LLAVA}/{name}/expected.safetensors")
    pixels, ids = golden["pixels"], golden["ids"].long()
    tok = Tokenizer.from_file(f"{LLAVA}/{name}/tokenizer.json")
    image_rows = ids == tok.token_to_id("<image>")
    first = int(image_rows.nonzero()[0])
    side = m.v.image_size // m.v.patch_size
    V, L = Stack(1 + side * side, 1, side), Stack(len(ids), first, side)
    stacks = {"vision": V, "lm": L}

    clean = m.run(pixels, ids, image_rows, [], stacks)
    patterns = m.patterns
    with torch.no_grad():  # this file against transformers itself
        hf = m.hf(input_ids=ids[None], pixel_values=pixels, use_cache=False)
        mine = m.hf.lm_head(m.text.norm(clean["lm.done"]))
    error = float((mine - hf.logits[0]).abs().max() / hf.logits.std())
    assert error < 1e-5, error
    other = m.run(pixels.flip(3), ids, image_rows, [], stacks)

    g = torch.Generator().manual_seed(5)
    u_lm = torch.randn(m.l.hidden_size, generator=g) / 4
    u_vision = torch.randn(len(m.tower.encoder.layers), m.v.hidden_size, generator=g) / 4
    save_file({"u": u_lm}, f"{directory}/u_lm.safetensors")
    save_file({"u": u_vision}, f"{directory}/u_vision.safetensors")
    save_file({"vision.1.q": other["vision.1.q"].contiguous(),
               "vision.0.resid_post": other["vision.0.resid_post"][1:].contiguous(),
               "lm.1.mlp_out": other["lm.1.mlp_out"].contiguous(),
               "lm.depth.2": other["lm.2.resid_pre"].contiguous()},
              f"{directory}/trace.safetensors")

    # which tokens spell "part of": by characters, from the tokenizer's own offsets
    prompt = "What is the part of this animal?"
    text = tok.decode(ids[first + side * side:].tolist(), skip_special_tokens=False)
    where = {}
    begin = text.index("part of")
    n = 0
    group = np.zeros(L.n, bool)
    for t in range(first + side * side, L.n):
        upto = tok.decode(ids[first + side * side:t + 1].tolist(), skip_special_tokens=False)
        group[t] = n < begin + len("part of") and len(upto) > begin
        n = len(upto)
    where["part of"] = group
    assert prompt in text and group.any()

    out = {k: torch.tensor(v, dtype=torch.int32) for k, v in masks.items()}
    meta = {}
    for c, (text, atoms) in conditions(m, V, L, masks, u_lm, u_vision, clean, other,
                                       where).items():
        seen = m.run(pixels, ids, image_rows, atoms, stacks, dict(patterns))
        meta[f"condition.{c}"] = text.replace("{}", f"{OUT}/{name}")
        out[f"{c}/projector.out"] = seen["projector.done"].contiguous()
        out[f"{c}/lm.depth"] = seen["lm.done"].contiguous()
        assert all(torch.isfinite(t).all() for t in seen.values()), c
        shift = [float((seen[k] - clean[k]).norm() / clean[k].norm())
                 for k in ("projector.done", "lm.done")]
        print(f"{name} {c:12s} changes projector.out by {shift[0]:.3f}, the last depth by "
              f"{shift[1]:.3f}")
        assert shift[1] > 1e-3, c
    meta["made by"] = f"torch {torch.__version__}, transformers {transformers.__version__}"
    save_file(out, f"{directory}/expected.safetensors", metadata=meta)


def main():
    torch.set_num_threads(1)
    make("mha", {"part": [5, 6, 9], "object": [4, 5, 6, 7, 8, 9, 10], "other_part": [1, 2]})
    make("gqa", {"part": [14, 15, 20, 21],
                 "object": [7, 8, 9, 10, 13, 14, 15, 16, 19, 20, 21, 22, 27],
                 "other_part": [4, 5, 11]})


main()
