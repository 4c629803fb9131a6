"""xGen-MM (BLIP-3) 1.5 and 1: their own classes are remote code; composed of SiglipVisionModel (1:
CLIPVisionModel, checked against OpenCLIP's own tower) and Phi3ForCausalLM of transformers,
torch.nn.MultiheadAttention, torch.nn.Linear and Pillow. Facts: modeling_xgenmm.py, modeling_blip_3.py,
vlm.py and image_processing_blip_3.py of the checkpoints, open_flamingo of salesforce/LAVIS.

Version 1: the prompt's first tokens, the image as one, are mapped and stand behind the latents in
every block; nothing is told of the padding.

Two things are written another way than there, so that they check one another: latents attend by
MultiheadAttention, whose keys are the media and the latents in one sequence, with the padding
named in key_padding_mask; and the groups of the mosaic are cut out of a list of features that
stand in the order of the picture's rows."""

import numpy as np
import torch
from PIL import Image
from transformers import (CLIPVisionConfig, CLIPVisionModel, Phi3Config, Phi3ForCausalLM,
                          SiglipVisionConfig, SiglipVisionModel)

from family_golden.encoders import open_clip_names, open_clip_tower
from family_golden.parts import CLIP_MEAN, CLIP_STD, Parts, expect, generate, save_tensors
from make_llava_golden import fill_weights, make_tokenizer, write_json

PROMPT = ("<|system|>\nA chat between a curious user and an artificial intelligence assistant."
          "<|end|>\n<|user|>\n<image> What is the part of this animal?<|end|>\n<|assistant|>\n")
WORDS = ("<image>", "<image placeholder>", "<|endofchunk|>")
GRIDS = [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]  # columns and rows of tiles
SIDE, PATCH, LATENTS, HEADS, D_HEAD, DEPTH = 28, 7, 5, 2, 6, 2
MOST_TEXT = 256  # version 1: tokens that the latents see
HALF = [0.5] * 3


def tokenizer():
    """Without the words that the model adds, and with no token in front."""
    from tokenizers import processors
    tok = make_tokenizer(("<|user|>", "<|end|>", "<|assistant|>", "<|system|>"), ("<pad>",))
    tok.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    return tok


class Block(torch.nn.Module):
    def __init__(self, d):
        super().__init__()
        inner = HEADS * D_HEAD
        self.norm_media, self.norm_latents = torch.nn.LayerNorm(d), torch.nn.LayerNorm(d)
        self.to_q = torch.nn.Linear(d, inner, bias=False)
        self.to_kv = torch.nn.Linear(d, 2 * inner, bias=False)
        self.to_out = torch.nn.Linear(inner, d, bias=False)
        self.ff = torch.nn.Sequential(torch.nn.LayerNorm(d), torch.nn.Linear(d, 4 * d, bias=False),
                                      torch.nn.GELU(), torch.nn.Linear(4 * d, d, bias=False))

    def forward(self, latents, media, padding):
        inner = HEADS * D_HEAD
        own = self.norm_latents(latents)
        both = torch.cat([self.norm_media(media), own])
        keys, values = self.to_kv(both).split(inner, dim=1)
        one = torch.eye(inner)
        mixed, _ = torch.nn.functional.multi_head_attention_forward(
            self.to_q(own)[:, None], keys[:, None], values[:, None], inner, HEADS, None, None,
            None, None, False, 0.0, one, None, training=False, need_weights=False,
            key_padding_mask=torch.cat([padding, torch.zeros(len(own), dtype=torch.bool)])[None],
            use_separate_proj_weight=True, q_proj_weight=one, k_proj_weight=one,
            v_proj_weight=one)
        latents = latents + self.to_out(mixed[:, 0])
        return latents + self.ff(latents)


class XGen(torch.nn.Module):
    """`vision` a CLIPVisionModel: version 1."""

    def __init__(self, vision, text, n_first):
        super().__init__()
        d, d_lm = vision.config.hidden_size, text.hidden_size
        self.vision, self.lm, self.n_first = vision, Phi3ForCausalLM(text), n_first
        if isinstance(vision, CLIPVisionModel):
            self.text_projection = torch.nn.Sequential(
                torch.nn.Linear(d_lm, d), torch.nn.GELU(), torch.nn.Linear(d, d))
        self.latents = torch.nn.Parameter(torch.randn(LATENTS, d))
        self.blocks = torch.nn.ModuleList([Block(d) for _ in range(DEPTH)])
        self.norm, self.projection = torch.nn.LayerNorm(d), torch.nn.Linear(d, d_lm)
        self.more_embed = torch.nn.Embedding(len(WORDS), d_lm)
        self.head = torch.nn.Linear(d_lm, len(self.lm.lm_head.weight))
        self.more_head = torch.nn.Linear(d_lm, len(WORDS))

    def join_head(self):
        """The decoder's own output map becomes the two, so that its generate can be used."""
        self.lm.lm_head = torch.nn.Linear(self.head.in_features, self.n_first + len(WORDS))
        with torch.no_grad():
            for end in ("weight", "bias"):
                getattr(self.lm.lm_head, end).copy_(torch.cat(
                    [getattr(self.head, end)[:self.n_first], getattr(self.more_head, end)]))

    def groups(self, features, grid, size):
        """Features of each group and which of them are padding: the whole picture, then the
        mosaic's patches row by row in runs as long as a tile."""
        n = SIDE // PATCH
        yield features[0], torch.zeros(n * n, dtype=torch.bool)
        if not grid:
            return
        cols, rows = grid
        at = [(r, c) for r in range(rows * n) for c in range(cols * n)]
        order = [features[1 + r // n * cols + c // n, r % n * n + c % n] for r, c in at]
        width, height = size
        if width / height > cols / rows:
            cut, axis, length = (rows * n - int(height * (cols * n / width))) // 2, 0, rows * n
        else:
            cut, axis, length = (cols * n - int(width * (rows * n / height))) // 2, 1, cols * n
        out = [not cut <= place[axis] < length - cut for place in at]
        for g in range(rows * cols):
            part = slice(g * n * n, (g + 1) * n * n)
            yield torch.stack(order[part]), torch.tensor(out[part])

    def words(self, ids):
        more = (ids - self.n_first).clamp(min=0)
        return torch.where((ids >= self.n_first)[:, None], self.more_embed(more),
                           self.lm.model.embed_tokens(ids.clamp(max=self.n_first - 1)))

    def features(self, pixels):
        state = self.vision(pixels).last_hidden_state
        if hasattr(self, "text_projection"):
            return clip_tower(self).post_layernorm(state)[:, 1:]
        return state

    def embed(self, ids, pixels, grid, size):
        latents, first = [], self.latents
        if hasattr(self, "text_projection"):
            is_repeated = (ids[1:] == self.n_first) & (ids[:-1] == self.n_first)
            prompt = torch.cat([ids[:1], ids[1:][~is_repeated]])[:MOST_TEXT]
            first = torch.cat([first, self.text_projection(self.words(prompt))])
        for media, padding in self.groups(self.features(pixels), grid, size):
            x = first
            for block in self.blocks:
                x = block(x, media, padding & (not hasattr(self, "text_projection")))
            latents.append(x[:LATENTS])
        embeds = self.words(ids)
        embeds[ids == self.n_first] = self.projection(self.norm(torch.cat(latents)))
        return embeds[None]


def clip_tower(model):
    return model.vision.vision_model if hasattr(model.vision, "vision_model") else model.vision


def resize_and_pad(image, size):
    scale = [t / s for t, s in zip(size, image.size)]
    if scale[0] < scale[1]:
        new = size[0], min(int(np.ceil(image.height * scale[0])), size[1])
    else:
        new = min(int(np.ceil(image.width * scale[1])), size[0]), size[1]
    page = Image.new("RGB", size)
    page.paste(image.resize(new, Image.Resampling.BICUBIC),
               ((size[0] - new[0]) // 2, (size[1] - new[1]) // 2))
    return page


def best_grid(size):
    def worth(grid):
        w, h = grid[0] * SIDE, grid[1] * SIDE
        scale = min(w / size[0], h / size[1])
        shown = min(int(size[0] * scale) * int(size[1] * scale), size[0] * size[1])
        return shown, -(w * h - shown)
    return max(GRIDS, key=worth)  # the first of equals


def pixels_of(image, mean=HALF, std=HALF, whole=False):
    """Tiles, and columns and rows of them; `whole`: one tile and None."""
    cols, rows = (0, 0) if whole else best_grid(image.size)
    tiles = [image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)]
    if not whole:
        page = resize_and_pad(image, (cols * SIDE, rows * SIDE))
        tiles += [page.crop((c * SIDE, r * SIDE, (c + 1) * SIDE, (r + 1) * SIDE))
                  for r in range(rows) for c in range(cols)]
    x = torch.stack([torch.from_numpy(np.array(t)).permute(2, 0, 1) for t in tiles])
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (mean, std))
    return (x.float().div(255) - mean) / std, None if whole else (cols, rows)


def names(model):
    state = model.state_dict()
    renames = {"latents": "vision_tokenizer.latents", "more_embed": "lang_model.model.embed_tokens."
               "additional_embedding", "more_head": "lang_model.lm_head.additional_fc",
               "head": "lang_model.lm_head", "norm": "vision_tokenizer.norm",
               "projection": "vision_tokenizer.projection"}
    for name, value in state.items():
        stem, rest = name.split(".", 1) if "." in name else (name, "")
        if stem == "vision":
            if hasattr(model, "text_projection"):
                continue  # under OpenCLIP's names: tower_names
            name = "vision_encoder." + rest.removeprefix("vision_model.")
        elif stem == "text_projection":
            name = f"vision_tokenizer.{name}"
        elif stem == "lm":
            if rest.startswith("lm_head"):
                continue
            name = "lang_model." + rest
        elif stem == "blocks":
            block, part = rest.split(".", 1)
            part = part.replace("ff.", "1.") if part.startswith("ff.") else "0." + part
            name = f"vision_tokenizer.layers.{block}.{part}"
        else:
            name = renames[stem] + ("." + rest if rest else "")
        yield f"vlm.{name}", value


def tower_names(model, pixels):
    """Of version 1. OpenCLIP's own class takes them all, and its tokens are the features; `proj`,
    which no token passes, is in the checkpoint too."""
    state = open_clip_names(clip_tower(model))
    state["proj"] = torch.eye(state["class_embedding"].shape[0], 20)
    with torch.no_grad():
        own = open_clip_tower(state, SIDE, PATCH, model.vision.config.num_attention_heads)(pixels)[1]
        apart = float((own - model.features(pixels)).abs().max() / own.std())
    print(f"OpenCLIP's own tower differs by {apart:.1e} of the rms")
    assert apart < 1e-5
    return {f"vlm.vision_encoder.{k}": v for k, v in state.items()}


def make(directory, tok, vocab, photos, first=False):
    n_first = tok.get_vocab_size()
    vision = dict(hidden_size=24, intermediate_size=96 if first else 40, num_hidden_layers=2,
                  num_attention_heads=4 if first else 3, image_size=SIDE, patch_size=PATCH)
    text = dict(vocab_size=vocab, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
                num_attention_heads=3, num_key_value_heads=3, max_position_embeddings=512,
                rms_norm_eps=1e-5)
    kind = "blip_3" if first else "xgenmm"
    encoder = {"anyres_patch_sampling": True, "image_aspect_ratio": "anyres",
               "model_type": f"{kind}_vision_encoder"}
    if first:
        encoder |= {"force_image_size": SIDE, "vision_config": {
            "layers": 2, "width": 24, "head_width": 6, "patch_size": PATCH, "image_size": SIDE}}
    else:
        encoder["vision_config"] = vision
    write_json(f"{directory}/config.json", {
        "architectures": [f"{'Blip3' if first else 'XGenMM'}ModelForConditionalGeneration"],
        "model_type": kind,
        "text_config": {"initial_tokenizer_len": n_first, "model_type": "phi3",
                        "sliding_window": 2047, "torch_dtype": "bfloat16", "bos_token_id": 1,
                        "eos_token_id": tok.token_to_id("<|end|>"), "pad_token_id": 0, **text},
        "vision_encoder_config": encoder,
        "vision_tokenizer_config": {"model_type": f"{kind}_vision_tokenizer",
                                    "vis_feature_dim": 24, "lang_embedding_dim": 24,
                                    "num_vis_tokens": LATENTS, "heads": HEADS,
                                    "dim_head": D_HEAD, "depth": DEPTH}})
    mean, std = (CLIP_MEAN, CLIP_STD) if first else (HALF, HALF)
    grids = {} if first else {"grids": [[c * SIDE, r * SIDE] for c, r in GRIDS]}
    write_json(f"{directory}/preprocessor_config.json", {
        "do_resize": True, **grids, "image_mean": mean,
        "image_processor_type": "Blip3ImageProcessor", "image_std": std,
        "interpolation_mode": "bicubic", "resize_mode": "squash", "size": [SIDE, SIDE]})
    tower = (CLIPVisionModel(CLIPVisionConfig(**vision, attn_implementation="eager")) if first else
             SiglipVisionModel(SiglipVisionConfig(**vision, vision_use_head=False,
                                                  attn_implementation="eager")))
    model = XGen(tower, Phi3Config(**text, pad_token_id=0, eos_token_id=2, sliding_window=2047,
                                   attn_implementation="eager"), n_first)
    fill_weights(model, 23 if first else 22)
    with torch.no_grad():
        for block in model.blocks:
            for m, gain in ((block.to_q, 1.7), (block.to_kv, 1.7), (block.to_out, 0.7),
                            (block.ff[1], 1.2), (block.ff[3], 0.7)):
                m.weight.mul_(gain / 0.6 / m.weight.shape[1] ** 0.5)
        maps = [model.projection, model.head, model.more_head]
        for m in maps + ([model.text_projection[0], model.text_projection[2]] if first else []):
            m.weight.mul_(1.5 / 0.6 / m.weight.shape[1] ** 0.5)
        for p in model.parameters():
            p.copy_(p.to(torch.bfloat16).float())
    model.eval()
    tensors = dict(names(model))
    if first:
        tensors |= tower_names(model, pixels_of(photos["wide"], mean, std)[0])
    save_tensors({k: v.detach().to(torch.bfloat16).clone() for k, v in tensors.items()}, directory, 2)
    model.join_head()
    layers = clip_tower(model)
    parts = Parts(model, layers.pre_layrnorm if first else layers.embeddings,
                  layers.encoder.layers, model.projection, model.lm.model.layers,
                  lambda x: model.lm(inputs_embeds=model.embed(*x), use_cache=False).logits,
                  lambda x: generate(model.lm, inputs_embeds=model.embed(*x)))
    parts.n_rows = (SIDE // PATCH) ** 2 + first

    def prepare(image):
        pixels, grid = pixels_of(image, mean, std, image is whole)
        front, back = (tok.encode(t).ids for t in PROMPT.split("<image>"))
        ids = torch.tensor(front + [n_first] * (LATENTS * len(pixels)) + back)
        return ids, pixels, (ids, pixels, grid, image.size)

    whole = photos["wide"].copy()  # in one tile, as "grids": null and "pad" have it
    expect("xgen-mm-1" if first else "xgen-mm", directory, parts, prepare, n_first, 2, first,
           PROMPT, {**photos, "whole": whole})


def make_version_1(directory, tok, vocab, photos):
    make(directory, tok, vocab, photos, first=True)
