"""Encoders alone: CLIP in the layouts of Hugging Face and of OpenCLIP, SigLIP."""

import importlib.util
import sys
import types
from unittest import mock

import torch
import transformers
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, SiglipVisionConfig, SiglipVisionModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from family_golden.parts import (ATOMS, CLIP_MEAN, CLIP_STD, CONDITIONS, round_to_bf16,
                                 save_model, save_tensors, some_lines, some_rows)
from family_golden.prismatic import timm_names, to_pixels, torchvision_resize
from make_llava_golden import cut_masks, fill_weights, save_sorted, write_json

def expect_encoder(name, directory, tower, has_cls, project, prepare, photos):
    layers = tower.encoder.layers
    n_rows = (tower.config.image_size // tower.config.patch_size) ** 2 + has_cls
    rows = torch.arange(n_rows)
    groups = {"vision": {"all": rows >= 0, "cls": rows < has_cls, "image": rows >= has_cls}}
    out = {}
    for picture, image in photos.items():
        pixels = prepare(image)
        out[f"{picture}/pixels"] = some_lines(pixels.float()).contiguous()
        for condition in ("clean", "encoder"):
            if picture != "wide" and condition != "clean":
                continue
            hooks = []
            for layer, mask in zip(layers, cut_masks(
                    ATOMS[condition], "vision", len(layers),
                    tower.config.num_attention_heads, groups)):
                if mask is not None:
                    def hook(_module, args, kwargs, mask=mask):
                        kwargs["attention_mask"] = mask
                        return args, kwargs
                    hooks.append(layer.self_attn.register_forward_pre_hook(
                        hook, with_kwargs=True))
            with torch.no_grad():
                states = tower(pixels, output_hidden_states=True).hidden_states
                features = tower.post_layernorm(states[-1])
                joint = project(features, pixels if not hooks else None)
            for h in hooks:
                h.remove()
            stages = {f"vision.depth.{d}": s for d, s in enumerate(states)}
            if picture == "tall":
                stages = {}
            if condition == "encoder":
                stages = {f"vision.depth.{len(layers)}": states[-1]}
            stages |= {"vision.features": features, "projector.out": joint}
            for stage, value in stages.items():
                out[f"{picture}/{condition}/{stage}"] = some_rows(
                    value.reshape(-1, value.shape[-1]).float()).clone().contiguous()
            print(f"{name} {picture} {condition} {n_rows} rows")
    meta = {f"condition.{k}": CONDITIONS[k] for k in ("clean", "encoder")}
    meta["made by"] = f"torch {torch.__version__}, transformers {transformers.__version__}"
    save_sorted(out, f"{directory}/expected.safetensors", meta)


def joint_of(model):
    """All rows projected; of the clean run row 0 is checked against the model's own answer."""
    def project(features, pixels):
        joint = model.visual_projection(features)
        if pixels is not None:
            own = model.get_image_features(pixels)
            own = getattr(own, "pooler_output", own)
            assert torch.allclose(own[0], joint[0, 0], atol=1e-5)
        return joint
    return project


def make_siglip(directory, photos):
    side, patch = 30, 8
    model = SiglipVisionModel(SiglipVisionConfig(
        hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=3,
        image_size=side, patch_size=patch, attn_implementation="eager"))
    fill_weights(model, 19)
    round_to_bf16(model)
    model.eval()
    model.config.save_pretrained(directory)
    tower = model.vision_model if hasattr(model, "vision_model") else model
    save_tensors({f"vision_model.{k.removeprefix('vision_model.')}":
                  v.to(torch.bfloat16).clone() for k, v in model.state_dict().items()},
                 directory)
    images = SiglipImageProcessorPil(size={"height": side, "width": side})
    images.save_pretrained(directory)
    expect_encoder("siglip", directory, tower, 0, lambda features, _pixels: features,
                   lambda image: images(images=image, return_tensors="pt")["pixel_values"],
                   photos)


def tiny_clip(side, patch):
    model = CLIPModel(CLIPConfig(
        text_config=dict(vocab_size=64, hidden_size=16, intermediate_size=32,
                         num_hidden_layers=1, num_attention_heads=2,
                         max_position_embeddings=8, bos_token_id=1, eos_token_id=2),
        vision_config=dict(hidden_size=24, intermediate_size=96, num_hidden_layers=2,
                           num_attention_heads=4, image_size=side, patch_size=patch),
        projection_dim=20, attn_implementation="eager"))
    fill_weights(model, 18)
    with torch.no_grad():
        model.visual_projection.weight.mul_(0.3)
    round_to_bf16(model)
    return model.eval()


def make_clip(directory, photos):
    side, patch = 28, 7
    model = tiny_clip(side, patch)
    model.config.save_pretrained(directory)
    save_model(model, directory)
    images = CLIPImageProcessorPil(size={"shortest_edge": side},
                                   crop_size={"height": side, "width": side})
    images.save_pretrained(directory)
    expect_encoder("clip", directory, model.vision_model, 1, joint_of(model),
                   lambda image: images(images=image, return_tensors="pt")["pixel_values"],
                   photos)


def open_clip_names(tower):
    """State of a CLIPVisionTransformer under OpenCLIP's names."""
    timm = timm_names(tower)
    out = {"class_embedding": timm["cls_token"][0, 0],
           "positional_embedding": timm["pos_embed"][0],
           "conv1.weight": timm["patch_embed.proj.weight"]}
    renames = {"norm1": "ln_1", "norm2": "ln_2", "attn.proj": "attn.out_proj",
               "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    for name, value in timm.items():
        if name.startswith("blocks."):
            _, b, rest = name.split(".", 2)
            stem, end = rest.rsplit(".", 1)
            new = (f"attn.in_proj_{end}" if stem == "attn.qkv" else f"{renames[stem]}.{end}")
            out[f"transformer.resblocks.{b}.{new}"] = value
        elif name.startswith("norm"):
            stem, end = name.rsplit(".", 1)
            out[f"{'ln_pre' if stem == 'norm_pre' else 'ln_post'}.{end}"] = value
    return out


def open_clip_tower(state, side, patch, heads):
    """OpenCLIP's own tower with this state, giving (pooled, tokens). Its package imports
    torchvision, which the tower does not use; so that is left out."""
    package = types.ModuleType("open_clip")
    package.__path__ = list(importlib.util.find_spec("open_clip").submodule_search_locations)
    misc = types.ModuleType("torchvision.ops.misc")
    misc.FrozenBatchNorm2d = torch.nn.Identity
    absent = {n: types.ModuleType(n) for n in ("torchvision", "torchvision.ops")}
    with mock.patch.dict(sys.modules, {"open_clip": package, misc.__name__: misc, **absent}):
        from open_clip.transformer import QuickGELU, VisionTransformer
    up = state["transformer.resblocks.0.mlp.c_fc.weight"]
    tower = VisionTransformer(
        image_size=side, patch_size=patch, width=up.shape[1], heads=heads,
        layers=len([k for k in state if k.endswith("ln_1.weight")]),
        mlp_ratio=up.shape[0] / up.shape[1], output_dim=state["proj"].shape[1],
        act_layer=QuickGELU, output_tokens=True)
    tower.load_state_dict(state)  # every name, and no other
    return tower.eval()


def make_open_clip(directory, photos):
    """The same classes under OpenCLIP's names; its crop rounds as torchvision's does."""
    side, patch = 21, 7
    model = tiny_clip(side, patch)
    write_json(f"{directory}/open_clip_config.json", {
        "model_cfg": {"embed_dim": 20, "quick_gelu": True,
                      "vision_cfg": {"image_size": side, "layers": 2, "width": 24,
                                     "head_width": 6, "patch_size": patch},
                      "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16,
                                   "heads": 2, "layers": 1}},
        "preprocess_cfg": {"mean": CLIP_MEAN, "std": CLIP_STD}})
    tensors = {f"visual.{k}": v for k, v in open_clip_names(model.vision_model).items()}
    tensors |= {"visual.proj": model.visual_projection.weight.T, "logit_scale": torch.tensor(4.6)}
    tensors = {k: v.detach().to(torch.bfloat16).contiguous().clone() for k, v in tensors.items()}
    save_file(tensors, f"{directory}/open_clip_model.safetensors")
    expect_encoder("open_clip", directory, model.vision_model, 1, joint_of(model),
                   lambda image: to_pixels(torchvision_resize(image, side)), photos)
