"""Stage `golden`: vectors of the shipped subjects from transformers itself, for the first shipped scene.

python golden.py --share share/organism --out tests/golden/organism

SUBJECT.safetensors, f32 unless said: the weights as stored (bf16) widened to f32, eager attention. Conditions COND: `clean`,
`enc` (vision: image <- image|cls), `lm` (lm: image <- image), `both`. `ids` int64 [T] the prompt, `places` int64 [8] image
tokens (0..143), `parts.value` int64 [parts] the lines of items.tsv of the scene. With the rows of `places`:
COND.vision.K [8, 128] after K blocks (CLS not counted), COND.proj [8, 128] projector output, COND.lm.depth.K [8, 128] after K
decoder blocks, before the final norm, COND.lm.logits [4, V] the lens of the last depth at the first four. COND.logits [V] at
the last position; COND.ranks [depths, parts] best rank over the part's patches. What a cut cannot change is stored once.
"""
import argparse
import os

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import LlavaForConditionalGeneration, LlavaProcessor

PROMPT = "USER: <image>\ndescribe the scene. ASSISTANT:"
CONDITIONS = {"clean": (False, False), "enc": (True, False), "lm": (False, True), "both": (True, True)}
LOW = torch.finfo(torch.float32).min


class Cut:
    """Adds a mask to the scores of every self-attention of a stack, through forward pre-hooks."""

    def __init__(self, modules, mask):
        def hook(_, args, kw):
            t = mask.shape[0]
            base = kw.get("attention_mask")
            kw["attention_mask"] = (base if base is not None else torch.zeros(1, 1, t, t)) + mask
            return args, kw
        self.handles = [m.register_forward_pre_hook(hook, with_kwargs=True) for m in modules]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for h in self.handles:
            h.remove()


@torch.no_grad()
def vectors(path, shared, tower_too):
    model = LlavaForConditionalGeneration.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    proc = LlavaProcessor.from_pretrained(path)
    image = Image.open(os.path.join(shared, "000.png"))
    x = proc(images=image, text=PROMPT, return_tensors="pt")
    ids = x["input_ids"][0]
    at = torch.nonzero(ids == model.config.image_token_index)[:, 0]
    n, t = len(at), len(ids)
    core = model.model
    tower = getattr(core.vision_tower, "vision_model", core.vision_tower)
    enc_mask = torch.full((n + 1, n + 1), LOW)
    enc_mask.fill_diagonal_(0.)
    enc_mask[0] = 0
    lm_mask = torch.zeros(t, t)
    lm_mask[at[0]:at[-1] + 1, at[0]:at[-1] + 1] = torch.full((n, n), LOW).fill_diagonal_(0.)
    enc_mods = [l.self_attn for l in tower.encoder.layers]
    lm_mods = [l.self_attn for l in core.language_model.layers]

    rows = [r.split("\t") for r in open(os.path.join(shared, "items.tsv")).read().splitlines()[1:]]
    rows = [r for r in rows if r[0] == "000.png"]
    mask = np.array(Image.open(os.path.join(shared, "000.parts.png")))
    groups = []
    for r in rows:
        c = (mask == int(r[2])).reshape(12, 8, 12, 8).sum((1, 3)).ravel()
        groups.append(np.flatnonzero(c >= 32) if (c >= 32).any() else np.array([c.argmax()]))
    words = [proc.tokenizer.convert_tokens_to_ids("▁" + r[5]) for r in rows]
    places = sorted({int(g[len(g) // 2]) for g in groups})
    places = (places + [i for i in range(0, n, 11) if i not in places])[:8]
    out = {"ids": ids, "places": torch.tensor(sorted(places)), "parts.value": torch.tensor([int(r[2]) for r in rows])}
    pick = out["places"]
    for name, (enc, lm) in CONDITIONS.items():
        depths, hooks = [], []
        # States after each block, before the final norm (transformers norms the last entry of hidden_states).
        for layer in core.language_model.layers:
            hooks.append(layer.register_forward_pre_hook(lambda _, a, k: depths.append((a[0] if a else k["hidden_states"])[0]), with_kwargs=True))
        hooks.append(core.language_model.norm.register_forward_pre_hook(lambda _, a: depths.append(a[0][0])))
        seen = []
        hooks.append(core.multi_modal_projector.register_forward_hook(lambda m, a, o: seen.append(o[0])))
        vis = []
        for layer in tower.encoder.layers:
            hooks.append(layer.register_forward_pre_hook(lambda _, a, k: vis.append((a[0] if a else k["hidden_states"])[0]), with_kwargs=True))
        with Cut(enc_mods if enc else [], enc_mask), Cut(lm_mods if lm else [], lm_mask):
            logits = model(**x).logits[0]
        for h in hooks:
            h.remove()
        lens = [model.lm_head(core.language_model.norm(d[at])) for d in depths]
        assert torch.allclose(lens[-1], logits[at], atol=1e-4)
        if not lm:
            out[name + ".proj"] = seen[0].reshape(n, -1)[pick]
            if tower_too:
                for k in (0, 3, 5):
                    out[f"{name}.vision.{k}"] = vis[k][1 + pick]
        for k in (1, 3, len(depths) - 1):
            out[f"{name}.lm.depth.{k}"] = depths[k][at][pick]
        if name in ("clean", "both"):
            out[name + ".lm.logits"] = lens[-1][pick[:4]]
        out[name + ".logits"] = logits[-1]
        best = np.zeros((len(lens), len(rows)), np.float32)
        for d, z in enumerate(lens):
            for p, (g, w) in enumerate(zip(groups, words)):
                zz = z[torch.from_numpy(g)]
                y = zz[:, w:w + 1]
                best[d, p] = (1 + (zz > y).sum(1) + .5 * ((zz == y).sum(1) - 1)).min()
        out[name + ".ranks"] = torch.from_numpy(best)
    return {k: v.detach().clone().contiguous() for k, v in out.items()}


if __name__ == "__main__":
    a = argparse.ArgumentParser()
    a.add_argument("--share", required=True)
    a.add_argument("--out", required=True)
    args = a.parse_args()
    torch.set_num_threads(1)
    os.makedirs(args.out, exist_ok=True)
    for subject in sorted(d for d in os.listdir(args.share) if os.path.exists(os.path.join(args.share, d, "MODEL.txt")) and d != "random"):
        v = vectors(os.path.join(args.share, subject), os.path.join(args.share, "scenes"), True)
        f = os.path.join(args.out, subject + ".safetensors")
        save_file(v, f)
        print(f, os.path.getsize(f), "bytes", {k: tuple(x.shape) for k, x in v.items() if k.startswith(("clean", "ids", "pl"))})
