"""Stage `export`: one subject as a LLaVA-1.5 directory, written by transformers itself, in bfloat16.

python export.py --work DIR --variant blur|exact --seed S --out OUT [--check]

The standardisation of the projector is folded into linear_1; the head is stored beside the embedding (LLaVA-1.5 does not
tie them). --check loads the directory back, compares it with nets.py and preprocesses a scene, which must be a no-op.
"""
import argparse
import json
import os
import shutil

import numpy as np
import torch
from transformers import (CLIPImageProcessor, CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration,
                          LlavaProcessor, PreTrainedTokenizerFast)

import nets
import scenes
from tok import Words

NOTE = """\
A tiny LLaVA-1.5 model ({parameters:.2f} million parameters) trained from nothing on drawn scenes by tools/organism/make.py;
docs/organism.md tells how, and what it can do. Its decoder read scenes as words first: {text}
It may show that cuts, lens and ratios respond to what a decoder was trained to do, and how a result with intervals
looks. It may not show anything about models trained on photographs.
"""
TEXT = {"blur": "with many words blurred to what\na patch by itself would tell, so it learnt to work out names from context.",
        "exact": "every word the true one,\nso it never had to work out a name from context."}


def config(w):
    v = CLIPVisionConfig(hidden_size=nets.DIM, intermediate_size=nets.VIT_MLP, num_hidden_layers=nets.LAYERS,
                         num_attention_heads=nets.HEADS, image_size=scenes.SIZE, patch_size=scenes.PATCH, projection_dim=nets.DIM,
                         hidden_act="quick_gelu", layer_norm_eps=1e-5)
    t = LlamaConfig(vocab_size=w.size, hidden_size=nets.DIM, intermediate_size=nets.LM_MLP, num_hidden_layers=nets.LAYERS,
                    num_attention_heads=nets.HEADS, num_key_value_heads=nets.HEADS, max_position_embeddings=1024,
                    rms_norm_eps=1e-5, hidden_act="silu", bos_token_id=1, eos_token_id=2, pad_token_id=w.pad,
                    tie_word_embeddings=False)
    return LlavaConfig(vision_config=v, text_config=t, image_token_index=w.image, projector_hidden_act="gelu",
                       vision_feature_layer=-2, vision_feature_select_strategy="default", image_seq_length=nets.N,
                       tie_word_embeddings=False)


def split_qkv(state, prefix, out, bias):
    for kind in ("weight", "bias") if bias else ("weight",):
        for name, part in zip("qkv", state[f"{prefix}.qkv.{kind}"].chunk(3)):
            out[f"{name}_proj.{kind}"] = part


def to_hf(vit, proj, lm):
    """States of nets.py -> state dict under the names of LlavaForConditionalGeneration in memory."""
    out, p = {}, "model.vision_tower."
    e = p + "embeddings."
    out[e + "class_embedding"] = vit["class_embedding"]
    out[e + "patch_embedding.weight"] = vit["patch_embedding.weight"].view(nets.DIM, 3, scenes.PATCH, scenes.PATCH)
    out[e + "position_embedding.weight"] = vit["position_embedding"]
    for n in ("pre_layrnorm", "post_layernorm"):
        for k in ("weight", "bias"):
            out[f"{p}{n}.{k}"] = vit[f"{n}.{k}"]
    for i in range(nets.LAYERS):
        a, b, q = f"layers.{i}", f"{p}encoder.layers.{i}", {}
        split_qkv(vit, a, q, True)
        out.update({f"{b}.self_attn.{k}": x for k, x in q.items()})
        for k in ("weight", "bias"):
            out[f"{b}.self_attn.out_proj.{k}"] = vit[f"{a}.out_proj.{k}"]
            for n in ("layer_norm1", "layer_norm2"):
                out[f"{b}.{n}.{k}"] = vit[f"{a}.{n}.{k}"]
            for n in ("fc1", "fc2"):
                out[f"{b}.mlp.{n}.{k}"] = vit[f"{a}.{n}.{k}"]
    w = proj["linear_1.weight"].double() / proj["std"].double()
    out["model.multi_modal_projector.linear_1.weight"] = w.float()
    out["model.multi_modal_projector.linear_1.bias"] = (proj["linear_1.bias"].double() - w @ proj["mean"].double()).float()
    out["model.multi_modal_projector.linear_2.weight"] = proj["linear_2.weight"]
    out["model.multi_modal_projector.linear_2.bias"] = proj["linear_2.bias"]
    t = "model.language_model."
    out[t + "embed_tokens.weight"] = out["lm_head.weight"] = lm["embed.weight"]
    out[t + "norm.weight"] = lm["norm.weight"]
    for i in range(nets.LAYERS):
        a, b, q = f"layers.{i}", f"{t}layers.{i}", {}
        split_qkv(lm, a, q, False)
        out.update({f"{b}.self_attn.{k}": x for k, x in q.items()})
        out[f"{b}.self_attn.o_proj.weight"] = lm[f"{a}.o_proj.weight"]
        g, u = lm[f"{a}.gate_up.weight"].chunk(2)
        out[f"{b}.mlp.gate_proj.weight"], out[f"{b}.mlp.up_proj.weight"] = g, u
        out[f"{b}.mlp.down_proj.weight"] = lm[f"{a}.down_proj.weight"]
        for n in ("input_layernorm", "post_attention_layernorm"):
            out[f"{b}.{n}.weight"] = lm[f"{a}.{n}.weight"]
    return {k: x.detach().clone().contiguous() for k, x in out.items()}


def from_hf(model):
    """The networks of nets.py in f32 with the weights of a loaded LlavaForConditionalGeneration."""
    s = {k: x.float() for k, x in model.state_dict().items()}
    vit, proj, lm = nets.Vit(), nets.Projector(), nets.Lm(s["lm_head.weight"].shape[0])
    p = "model.vision_tower."
    if p + "pre_layrnorm.weight" not in s:
        p += "vision_model."
    v = {"class_embedding": s[p + "embeddings.class_embedding"], "position_embedding": s[p + "embeddings.position_embedding.weight"],
         "patch_embedding.weight": s[p + "embeddings.patch_embedding.weight"].reshape(nets.DIM, -1)}
    for n in ("pre_layrnorm", "post_layernorm"):
        for k in ("weight", "bias"):
            v[f"{n}.{k}"] = s[f"{p}{n}.{k}"]
    for i in range(nets.LAYERS):
        a, b = f"layers.{i}", f"{p}encoder.layers.{i}"
        for k in ("weight", "bias"):
            v[f"{a}.qkv.{k}"] = torch.cat([s[f"{b}.self_attn.{x}_proj.{k}"] for x in "qkv"])
            v[f"{a}.out_proj.{k}"] = s[f"{b}.self_attn.out_proj.{k}"]
            for n in ("layer_norm1", "layer_norm2"):
                v[f"{a}.{n}.{k}"] = s[f"{b}.{n}.{k}"]
            for n in ("fc1", "fc2"):
                v[f"{a}.{n}.{k}"] = s[f"{b}.mlp.{n}.{k}"]
    vit.load_state_dict(v)
    for n in ("linear_1", "linear_2"):
        for k in ("weight", "bias"):
            getattr(getattr(proj, n), k).data = s[f"model.multi_modal_projector.{n}.{k}"]
    t = "model.language_model."
    m = {"embed.weight": s["lm_head.weight"], "norm.weight": s[t + "norm.weight"], "place": torch.zeros(nets.N, nets.DIM)}
    for i in range(nets.LAYERS):
        a, b = f"layers.{i}", f"{t}layers.{i}"
        m[f"{a}.qkv.weight"] = torch.cat([s[f"{b}.self_attn.{x}_proj.weight"] for x in "qkv"])
        m[f"{a}.o_proj.weight"], m[f"{a}.down_proj.weight"] = s[f"{b}.self_attn.o_proj.weight"], s[f"{b}.mlp.down_proj.weight"]
        m[f"{a}.gate_up.weight"] = torch.cat([s[f"{b}.mlp.gate_proj.weight"], s[f"{b}.mlp.up_proj.weight"]])
        for n in ("input_layernorm", "post_attention_layernorm"):
            m[f"{a}.{n}.weight"] = s[f"{b}.{n}.weight"]
    lm.load_state_dict(m)
    return vit.eval(), proj.eval(), lm.eval()


def states(args, w):
    """Network states to export; without a work checkpoint of the joint stage (--random) untrained ones."""
    if args.random:
        torch.manual_seed(args.seed)
        return nets.Vit().state_dict(), nets.Projector().state_dict(), nets.Lm(w.size).state_dict()
    vit = torch.load(os.path.join(args.work, "solo.pt"))["vit"]
    j = torch.load(os.path.join(args.work, f"joint.{args.variant}.{args.seed}.pt"))
    return vit, j["proj"], j["lm"]


def write(args):
    w = Words(args.work)
    if os.path.exists(args.out):
        shutil.rmtree(args.out)
    model = LlavaForConditionalGeneration(config(w))
    sd = to_hf(*states(args, w))
    if "model.vision_tower.pre_layrnorm.weight" not in model.state_dict():
        sd = {k.replace("vision_tower.", "vision_tower.vision_model."): x for k, x in sd.items()}
    missing, extra = model.load_state_dict(sd, strict=False)
    assert not extra and not [m for m in missing if "position_ids" not in m], (missing, extra)
    model = model.to(torch.bfloat16)
    model.generation_config.bos_token_id, model.generation_config.eos_token_id = 1, 2
    model.generation_config.pad_token_id = w.pad
    model.save_pretrained(args.out)
    tok = PreTrainedTokenizerFast(tokenizer_file=os.path.join(args.work, "tokenizer.json"), bos_token="<s>", eos_token="</s>",
                                  unk_token="<unk>", pad_token="<pad>", extra_special_tokens={"image_token": "<image>"},
                                  add_bos_token=True, clean_up_tokenization_spaces=False, padding_side="left")
    image = CLIPImageProcessor(size={"shortest_edge": scenes.SIZE}, crop_size={"height": scenes.SIZE, "width": scenes.SIZE},
                               resample=3, do_convert_rgb=True)
    tok.save_pretrained(args.out)
    image.save_pretrained(args.out)
    proc = {"image_token": "<image>", "num_additional_image_tokens": 1, "patch_size": scenes.PATCH,
            "processor_class": "LlavaProcessor", "vision_feature_select_strategy": "default"}
    with open(os.path.join(args.out, "processor_config.json"), "w") as f:
        f.write(json.dumps(proc, indent=2) + "\n")
    shutil.copy(os.path.join(args.work, "tokenizer.json"), os.path.join(args.out, "tokenizer.json"))
    with open(os.path.join(args.out, "MODEL.txt"), "w") as f:
        f.write(NOTE.format(parameters=sum(p.numel() for p in model.parameters()) / 1e6, text=TEXT[args.variant]))


@torch.no_grad()
def check(path):
    model = LlavaForConditionalGeneration.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    proc = LlavaProcessor.from_pretrained(path)
    img, _, _, _ = scenes.make(0, "test")
    from PIL import Image
    x = proc(images=Image.fromarray(img), text="USER: <image>\nwhat is the ground? ASSISTANT:", return_tensors="pt")
    plain = (torch.from_numpy(img).float() / 255 - nets.MEAN) / nets.STD
    assert (x["pixel_values"][0] - plain.permute(2, 0, 1)).abs().max() < 1e-5
    ids = x["input_ids"][0]
    assert (ids == model.config.image_token_index).sum() == nets.N, ids
    vit, proj, lm = from_hf(model)
    f = vit(nets.patches(torch.from_numpy(img)[None]))[-2][:, 1:]
    v = lm.embed(ids)[None].clone()
    v[0, ids == model.config.image_token_index] = proj(f)[0]
    ours = lm.logits(lm(v)[-1])
    theirs = model(**x).logits
    d = (ours - theirs).abs().max().item()
    print(path, "parameters", sum(p.numel() for p in model.parameters()), "largest difference of logits", d)
    assert d < 1e-3
    g = model.generate(**x, max_new_tokens=4, do_sample=False)
    print(proc.decode(g[0][len(ids):]))


if __name__ == "__main__":
    a = argparse.ArgumentParser()
    a.add_argument("--work", required=True)
    a.add_argument("--variant", choices=["blur", "exact"], default="blur")
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--out", required=True)
    a.add_argument("--random", action="store_true", help="untrained weights")
    a.add_argument("--check", action="store_true")
    args = a.parse_args()
    torch.set_num_threads(1)
    write(args)
    if args.check:
        check(args.out)
