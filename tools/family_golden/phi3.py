"""Phi-3-vision: its own classes are remote code; composed of CLIPVisionModel and Phi3ForCausalLM
of transformers, Pillow and torch.nn.functional."""

import math

import numpy as np
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel, Phi3Config, Phi3ForCausalLM

from family_golden.parts import (CLIP_MEAN, CLIP_STD, Parts, expect, generate, newline_roles,
                                 save_tensors, scale_maps)
from make_llava_golden import fill_weights, write_json

PROMPT = "<|user|>\n<image>\nWhat is the part of this animal?<|end|>\n<|assistant|>\n"


class Phi3Vision(torch.nn.Module):
    def __init__(self, vision, text):
        super().__init__()
        d, d_lm = vision.hidden_size, text.hidden_size
        self.vision, self.lm = CLIPVisionModel(vision), Phi3ForCausalLM(text)
        self.sub_GN = torch.nn.Parameter(torch.randn(1, 1, 1, 4 * d))
        self.glb_GN = torch.nn.Parameter(torch.randn(1, 1, 4 * d))
        self.img_projection = torch.nn.Sequential(
            torch.nn.Linear(4 * d, d_lm), torch.nn.GELU(), torch.nn.Linear(d_lm, d_lm))

    def merged(self, features, rows, cols):
        """[tiles][n n][d] to one picture of merged cells, a newline after each row."""
        n = int(features.shape[1] ** 0.5)
        d = features.shape[2]
        x = features.reshape(rows, cols, n, n, d).permute(0, 2, 1, 3, 4)
        x = x.reshape(rows * n // 2, 2, cols * n // 2, 2, d).permute(0, 2, 1, 3, 4)
        x = x.reshape(rows * n // 2, cols * n // 2, 4 * d)
        newline = self.sub_GN[0].expand(len(x), 1, -1)
        return torch.cat([x, newline], 1).reshape(-1, 4 * d)

    def embed(self, ids, pixels, grid):
        features = self.vision(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        rows = torch.cat([self.merged(features[1:], *grid), self.glb_GN[0],
                          self.merged(features[:1], 1, 1)])
        embeds = self.lm.model.embed_tokens(ids.clamp(min=0))
        embeds[ids < 0] = self.img_projection(rows)
        return embeds[None]


def hd_transform(image, side, num_crops):
    """8-bit picture whose sides are multiples of `side`, white where nothing was."""
    turned = image.width < image.height
    if turned:
        image = image.transpose(Image.Transpose.TRANSPOSE)
    ratio = image.width / image.height
    scale = 1
    while scale * math.ceil(scale / ratio) <= num_crops:
        scale += 1
    scale -= 1
    width = side * scale
    image = image.resize((width, int(width / ratio)), Image.Resampling.BILINEAR)
    height = math.ceil(image.height / side) * side
    page = Image.new("RGB", (width, height), (255, 255, 255))
    page.paste(image, (0, int((height - image.height) / 2)))
    return page.transpose(Image.Transpose.TRANSPOSE) if turned else page


def hd_pixels(image, side, num_crops):
    page = torch.from_numpy(np.array(hd_transform(image, side, num_crops))).permute(2, 0, 1)
    x = page.float().div(255)
    x = (x - torch.tensor(CLIP_MEAN)[:, None, None]) / torch.tensor(CLIP_STD)[:, None, None]
    small = torch.nn.functional.interpolate(x[None], size=(side, side), mode="bicubic")
    rows, cols = x.shape[1] // side, x.shape[2] // side
    tiles = x.reshape(3, rows, side, cols, side).permute(1, 3, 0, 2, 4)
    return torch.cat([small, tiles.reshape(-1, 3, side, side)]), (rows, cols)


def make(directory, tok, vocab, photos):
    """Short factors for one picture, long ones for the other, which has more tokens."""
    side, patch, d_head = 28, 7, 8
    rng = np.random.default_rng(16)
    short = [round(float(x), 3) for x in np.sort(1 + rng.random(d_head // 2))]
    long = [round(float(x), 3) for x in np.sort(1 + 30 * rng.random(d_head // 2))]
    rope = {"type": "su", "short_factor": short, "long_factor": long}
    text = dict(vocab_size=vocab, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
                num_attention_heads=3, num_key_value_heads=3, max_position_embeddings=2048,
                original_max_position_embeddings=50, rms_norm_eps=1e-5)
    vision = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3,
                  num_attention_heads=4, image_size=side, patch_size=patch)
    write_json(f"{directory}/config.json", {
        "architectures": ["Phi3VForCausalLM"], "model_type": "phi3_v", **text,
        "rope_theta": 10000.0, "rope_scaling": rope, "sliding_window": 2047,
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
        "embd_layer": {"embedding_cls": "image", "hd_transform_order": "sub_glb",
                       "projection_cls": "mlp", "use_hd_transform": True,
                       "with_learnable_separator": True},
        "img_processor": {"image_dim_out": 24, "name": "clip_vision_model",
                          "model_name": "openai/clip-vit-large-patch14-336",
                          "num_img_tokens": 4},
        "vision_config": vision})
    write_json(f"{directory}/preprocessor_config.json", {
        "image_processor_type": "Phi3VImageProcessor", "num_crops": 6, "num_img_tokens": 4,
        "image_mean": CLIP_MEAN, "image_std": CLIP_STD})
    model = Phi3Vision(
        CLIPVisionConfig(**vision, attn_implementation="eager"),
        Phi3Config(**text, pad_token_id=0, eos_token_id=2, attn_implementation="eager", rope_parameters={
            "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": short,
            "long_factor": long}))
    fill_weights(model, 16)
    scale_maps(model.img_projection[0], model.img_projection[2])
    tensors = {}
    for name, p in model.state_dict().items():
        stem, rest = name.split(".", 1) if "." in name else (name, "")
        if stem == "vision":
            rest = rest.removeprefix("vision_model.")
            name = f"model.vision_embed_tokens.img_processor.vision_model.{rest}"
        elif stem == "lm":
            name = rest
        else:
            name = f"model.vision_embed_tokens.{name}"
        p.copy_(p.to(torch.bfloat16).float())
        tensors[name] = p.to(torch.bfloat16).clone()
    save_tensors(tensors, directory, 2)
    model.eval()
    tower = model.vision.vision_model if hasattr(model.vision, "vision_model") else model.vision
    parts = Parts(model, tower.pre_layrnorm, tower.encoder.layers, model.img_projection,
                  model.lm.model.layers,
                  lambda x: model.lm(inputs_embeds=model.embed(*x), use_cache=False).logits,
                  lambda x: generate(model.lm, inputs_embeds=model.embed(*x)))
    parts.n_rows = (side // patch) ** 2 + 1

    def prepare(image):
        pixels, grid = hd_pixels(image, side, 6)
        half = side // patch // 2
        n = grid[0] * half * (grid[1] * half + 1) + 1 + half * (half + 1)
        front, back = (tok.encode(t).ids for t in PROMPT.split("<image>"))
        ids = torch.tensor(front + [-1] * n + back)
        return ids, pixels, (ids, pixels, grid)

    def roles(ids, image):
        rows, cols = (x * (side // patch // 2) for x in hd_pixels(image, side, 6)[1])
        half = side // patch // 2
        kinds = ([True] * cols + [False]) * rows + [False] + ([True] * half + [False]) * half
        return newline_roles(lambda i: kinds[i], ids == -1)

    parts.roles = roles
    expect("phi-3-vision", directory, parts, prepare, -1, 2, True, PROMPT, photos)
