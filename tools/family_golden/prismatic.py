"""Prismatic: composed of CLIPVisionModel and LlamaForCausalLM of transformers."""

import os

import numpy as np
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from family_golden.parts import (CLIP_MEAN, CLIP_STD, Parts, expect, generate, round_to_bf16,
                                 scale_maps)
from make_llava_golden import fill_weights, write_json

PROMPT = "<image>USER: What is the part of this animal? ASSISTANT:"


class Prismatic(torch.nn.Module):
    def __init__(self, vision, text):
        super().__init__()
        self.vision, self.lm = CLIPVisionModel(vision), LlamaForCausalLM(text)
        d, d_lm = vision.hidden_size, text.hidden_size
        self.projector = torch.nn.Sequential(
            torch.nn.Linear(d, d_lm), torch.nn.GELU(), torch.nn.Linear(d_lm, d_lm))

    def embed(self, ids, pixels):
        features = self.vision(pixels, output_hidden_states=True).hidden_states[-2][0, 1:]
        words = self.lm.model.embed_tokens(ids[ids >= 0])
        return torch.cat([words[:1], self.projector(features), words[1:]])[None]


def torchvision_resize(image, side):
    """Resize(side) on a PIL picture, then CenterCrop(side), as torchvision's functional.py."""
    w, h = image.size
    short, long = min(w, h), max(w, h)
    new_long = int(side * long / short)
    new_w, new_h = (side, new_long) if w <= h else (new_long, side)
    image = image.resize((new_w, new_h), Image.Resampling.BICUBIC)
    top, left = int(round((new_h - side) / 2.0)), int(round((new_w - side) / 2.0))
    return image.crop((left, top, left + side, top + side))


def to_pixels(image):
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
    return ((x - torch.tensor(CLIP_MEAN)[:, None, None])
            / torch.tensor(CLIP_STD)[:, None, None])[None]


def letterbox(image):
    w, h = image.size
    pad_x, pad_y = int((max(w, h) - w) / 2), int((max(w, h) - h) / 2)
    page = Image.new("RGB", (w + 2 * pad_x, h + 2 * pad_y),
                     tuple(int(m * 255) for m in CLIP_MEAN))
    page.paste(image, (pad_x, pad_y))
    return page


def timm_names(tower):
    """State of a CLIPVisionTransformer under timm's names."""
    state = {k.removeprefix("vision_model."): v for k, v in tower.state_dict().items()}
    out = {"cls_token": state["embeddings.class_embedding"][None, None],
           "pos_embed": state["embeddings.position_embedding.weight"][None],
           "patch_embed.proj.weight": state["embeddings.patch_embedding.weight"]}
    for end in ("weight", "bias"):
        out[f"norm_pre.{end}"] = state[f"pre_layrnorm.{end}"]
        out[f"norm.{end}"] = state[f"post_layernorm.{end}"]
        for b in range(len([k for k in state if k.endswith("layer_norm1.weight")])):
            at, to = f"encoder.layers.{b}", f"blocks.{b}"
            out[f"{to}.attn.qkv.{end}"] = torch.cat(
                [state[f"{at}.self_attn.{x}_proj.{end}"] for x in "qkv"])
            for old, new in (("layer_norm1", "norm1"), ("layer_norm2", "norm2"),
                             ("self_attn.out_proj", "attn.proj"), ("mlp.fc1", "mlp.fc1"),
                             ("mlp.fc2", "mlp.fc2")):
                out[f"{to}.{new}.{end}"] = state[f"{at}.{old}.{end}"]
    return out


def make(directory, tok, vocab, photos):
    """A torch.save file of dictionaries in dictionaries."""
    side, patch = 28, 7
    text = dict(vocab_size=vocab, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
                num_attention_heads=3, num_key_value_heads=3, max_position_embeddings=256,
                rms_norm_eps=1e-5)
    vision = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3,
                  num_attention_heads=4, image_size=side, patch_size=patch)
    write_json(f"{directory}/config.json", {
        "model": {"type": "prism-clip+7b", "model_id": "tiny",
                  "vision_backbone_id": "clip-vit-l-336px", "llm_backbone_id": "vicuna-v15-7b",
                  "arch_specifier": "no-align+gelu-mlp", "image_resize_strategy": "letterbox",
                  "llm_max_length": 2048},
        "run_id": "tiny", "stage": "finetune", "vision_config": vision,
        "text_config": {"model_type": "llama", **text}})
    model = Prismatic(CLIPVisionConfig(**vision, attn_implementation="eager"),
                      LlamaConfig(**text, attn_implementation="eager"))
    fill_weights(model, 17)
    scale_maps(model.projector[0], model.projector[2])
    round_to_bf16(model)
    half = {k: v.to(torch.bfloat16).clone() for k, v in model.state_dict().items()}
    featurizer = {f"featurizer.{k}": v.to(torch.bfloat16).clone()
                  for k, v in timm_names(model.vision).items()}
    os.makedirs(f"{directory}/checkpoints")
    torch.save({"model": {
        "projector": {k: v for k, v in half.items() if k.startswith("projector.")},
        "llm_backbone": {"llm" + k[2:]: v for k, v in half.items() if k.startswith("lm.")},
        "vision_backbone": featurizer}}, f"{directory}/checkpoints/latest-checkpoint.pt")
    model.eval()
    tower = model.vision.vision_model if hasattr(model.vision, "vision_model") else model.vision
    parts = Parts(model, tower.pre_layrnorm, tower.encoder.layers, model.projector,
                  model.lm.model.layers,
                  lambda x: model.lm(inputs_embeds=model.embed(*x), use_cache=False).logits,
                  lambda x: generate(model.lm, inputs_embeds=model.embed(*x)))
    parts.n_rows = (side // patch) ** 2 + 1

    def prepare(image):
        pixels = to_pixels(torchvision_resize(letterbox(image), side))
        ids = tok.encode(PROMPT.removeprefix("<image>")).ids
        ids = torch.tensor(ids[:1] + [-1] * (side // patch) ** 2 + ids[1:])
        return ids, pixels, (ids, pixels)

    expect("prismatic", directory, parts, prepare, -1, 2, True, PROMPT, photos)
