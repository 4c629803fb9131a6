"""Makes tests/golden/families: for each family a tiny checkpoint with random weights in the
layout that its users have, and what the reference implementation computes on it, stage by
stage, clean and under cuts.

    python tools/make_family_golden.py [OUT [FAMILY ...]]

Reference: transformers on PyTorch, eager attention, f32 (weights are stored as bf16). Where
a family is remote code, its own classes cannot be had here: they are composed below of
reference parts, and docs/parity.md says so. Cuts are additive masks handed to the attention
modules by hooks; nothing of tapetum takes part. Versions: requirements.txt.

expected.safetensors of each holds, for each picture P (wide: photo.png of the llava folder,
tall: its middle, 61 x 96 after a turn), f32 unless said otherwise:
  P/ids i32 [n_tok]             image rows carry the image token
  P/pixels [n_tiles][3][side][side]
and for each condition C, whose text stands in the metadata as "condition.C" (tall: clean,
  lm.depth.0 and logits alone; under cuts: the last depths and logits):
  P/C/vision.depth.D [n_tiles rows][d]   tiles one after the other
  P/C/vision.features                    where a reference module sees them
  P/C/projector.out [n][d]               before newlines are put in
  P/C/lm.depth.D [n_tok][d_lm]           the last one without the final norm
  P/C/lm.logits [d_vocab]                of the last token
"""

import json
import math
import os
import shutil
import sys

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel,
                          Idefics3Config, Idefics3ForConditionalGeneration, LlamaConfig,
                          LlamaForCausalLM, LlavaNextConfig,
                          LlavaNextForConditionalGeneration, LlavaNextProcessor,
                          LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration,
                          Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast, Qwen2Config,
                          SiglipVisionConfig, SiglipVisionModel, SmolVLMConfig, SmolVLMForConditionalGeneration)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import (
    Idefics3ImageProcessorPil)
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil)
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_llava_golden import (cut_masks, fill_weights, make_photo,  # noqa: E402
                               make_tokenizer, save_sorted, write_json)

PROMPT = "USER: <image>\nWhat is the part of this animal? ASSISTANT:"
CONDITIONS = {"clean": "", "encoder": "vision: image <- image", "decoder": "lm: image <- image"}
ATOMS = {"clean": [],
         "encoder": [("vision", None, None, ["image"], ["image"], 0)],
         "decoder": [("lm", None, None, ["image"], ["image"], 0)]}


def tokenizer_of(tok):
    return PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<s>", eos_token="</s>",
                                   unk_token="<unk>", pad_token="<pad>")


def save_model(model, directory, rename=None, shards=1, drop=()):
    """As bf16, in one file or in several with an index."""
    tensors = {}
    for name, p in model.state_dict().items():
        if name not in drop:
            tensors[rename(name) if rename else name] = p.detach().to(torch.bfloat16).clone()
    save_tensors(tensors, directory, shards)


def save_tensors(tensors, directory, shards=1):
    if shards == 1:
        save_file(tensors, f"{directory}/model.safetensors", metadata={"format": "pt"})
        return
    names, weight_map = sorted(tensors), {}
    for s in range(shards):
        file = f"model-{s + 1:05d}-of-{shards:05d}.safetensors"
        part = {n: tensors[n] for n in names[s::shards]}
        save_file(part, f"{directory}/{file}", metadata={"format": "pt"})
        weight_map |= {n: file for n in part}
    write_json(f"{directory}/model.safetensors.index.json", {
        "metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
        "weight_map": weight_map})


def save_processor(processor, directory):
    """The processor's own file alone; the tokenizer is written by main."""
    processor.save_pretrained(f"{directory}/p")
    shutil.move(f"{directory}/p/processor_config.json", f"{directory}/processor_config.json")
    shutil.rmtree(f"{directory}/p")


class Parts:
    """Where the stages of a reference model are."""

    def __init__(self, model, first, tower, projector, text, head_call):
        self.model, self.first, self.tower = model, first, tower
        self.projector, self.text, self.call = projector, text, head_call


def run(parts, inputs, groups, atoms, n_read):
    stages, hooks = {}, []

    def keep(name):
        def hook(_module, _args, output):
            value = output[0] if isinstance(output, tuple) else output
            stages[name] = value.reshape(-1, value.shape[-1]).clone()
        return hook

    def keep_input(name):
        def hook(_module, args, kwargs):
            value = args[0] if args else kwargs["hidden_states"]
            stages[name] = value.reshape(-1, value.shape[-1]).clone()
        return hook

    def add_mask(mask):
        def hook(_module, args, kwargs):
            base = kwargs.get("attention_mask")
            kwargs["attention_mask"] = mask if base is None else base + mask
            return args, kwargs
        return hook

    hooks.append(parts.first.register_forward_hook(keep("vision.depth.0")))
    for b in range(n_read):
        hooks.append(parts.tower[b].register_forward_hook(keep(f"vision.depth.{b + 1}")))
    hooks.append(parts.projector.register_forward_hook(keep("projector.out")))
    hooks.append(parts.text[0].register_forward_pre_hook(keep_input("lm.depth.0"),
                                                         with_kwargs=True))
    for b, layer in enumerate(parts.text):
        hooks.append(layer.register_forward_hook(keep(f"lm.depth.{b + 1}")))
    for stack, layers in (("vision", parts.tower), ("lm", parts.text)):
        config = layers[0].self_attn.config
        for layer, mask in zip(layers, cut_masks(atoms, stack, len(layers),
                                                 config.num_attention_heads, groups)):
            if mask is not None:
                hooks.append(layer.self_attn.register_forward_pre_hook(add_mask(mask),
                                                                       with_kwargs=True))
    with torch.no_grad():
        stages["lm.logits"] = parts.call(inputs)[0, -1]
    for h in hooks:
        h.remove()
    return stages


def expect(name, directory, parts, prepare, image_id, n_read, has_cls, prompt, photos):
    """prepare(image) -> ids [n], pixels [tiles][3][side][side], inputs of the model."""
    out = {}
    for picture, image in photos.items():
        ids, pixels, inputs = prepare(image)
        out[f"{picture}/ids"] = ids.int()
        out[f"{picture}/pixels"] = pixels.float().contiguous()
        is_image = ids == image_id
        where = torch.arange(len(ids))
        out_of_clean = None
        for condition, atoms in ATOMS.items():
            if picture != "wide" and condition != "clean":
                continue
            roles = parts.roles(ids, image) if hasattr(parts, "roles") else is_image
            rows = torch.arange(parts.n_rows)
            groups = {"vision": {"all": rows >= 0, "cls": rows < int(has_cls),
                                 "image": rows >= int(has_cls)},
                      "lm": {"all": where >= 0, "image": roles}}
            stages = run(parts, inputs, groups, atoms, n_read)
            last = max((k for k in stages if k.startswith("lm.depth.")),
                       key=lambda k: int(k.split(".")[-1]))
            if condition == "clean":
                out_of_clean = stages
            print(f"{name} {picture} {condition:8s} {len(pixels)} tiles, {len(ids)} tokens, "
                  f"rms of lm.depth.0 {stages['lm.depth.0'].std():.2f}, last "
                  f"{stages[last].std():.2f}, differs from clean "
                  f"{(stages[last] - out_of_clean[last]).std():.2f}")
            for stage, value in stages.items():
                assert torch.isfinite(value).all(), (condition, stage)
                tail = (last, f"vision.depth.{n_read}", "lm.logits")
                if picture == "tall" and stage not in ("lm.depth.0", "lm.logits"):
                    continue
                if condition != "clean" and stage not in tail:
                    continue
                out[f"{picture}/{condition}/{stage}"] = value.contiguous().float()
    meta = {f"condition.{k}": v for k, v in CONDITIONS.items()}
    meta |= {"prompt": prompt,
             "made by": f"torch {torch.__version__}, transformers {transformers.__version__}"}
    save_sorted(out, f"{directory}/expected.safetensors", meta)
    back = load_file(f"{directory}/expected.safetensors")
    assert all(torch.equal(back[k], v) for k, v in out.items())


def newline_roles(count_row, is_image):
    """The places of image rows that stand for patches: count_row(i) says so of row i."""
    roles = is_image.clone()
    for i, at in enumerate(is_image.nonzero()[:, 0].tolist()):
        roles[at] = count_row(i)
    return roles


# ---- LLaVA-NeXT and LLaVA-OneVision ----

def pinpoints(side, rows_cols):
    return [[r * side, c * side] for r, c in rows_cols]


def load(cls, directory):
    model, info = cls.from_pretrained(directory, dtype=torch.float32,
                                      attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    return model.eval()


def llava_parts(model, first):
    tower = model.model.vision_tower
    parts = Parts(model, first, tower.encoder.layers, model.model.multi_modal_projector,
                  model.model.language_model.layers,
                  lambda inputs: model(**inputs, use_cache=False).logits)
    v = model.config.vision_config
    parts.side = v.image_size // v.patch_size
    return parts


def anyres(name, directory, model, processor, tok, photos, has_cls, n_read):
    tower = model.model.vision_tower
    parts = llava_parts(model, tower.pre_layrnorm if has_cls else tower.embeddings)
    parts.n_rows = parts.side ** 2 + has_cls
    image_id = tok.token_to_id("<image>")

    def prepare(image):
        batch = processor(image, PROMPT, return_tensors="pt")
        inputs = {k: batch[k] for k in ("input_ids", "pixel_values", "image_sizes")}
        return batch["input_ids"][0], batch["pixel_values"][0], inputs

    newline = model.model.image_newline

    def roles(ids, image):
        """Image rows that are not the newline vector, found by their values."""
        _, _, inputs = prepare(image)
        with torch.no_grad():
            rows = model.model.get_image_features(
                inputs["pixel_values"], inputs["image_sizes"]).pooler_output[0]
        return newline_roles(lambda i: not torch.equal(rows[i], newline), ids == image_id)

    parts.roles = roles
    expect(name, directory, parts, prepare, image_id, n_read, has_cls, PROMPT, photos)


def old_next_name(name):
    """Names of the hub's files, written by transformers 4.39."""
    if name.startswith("model.vision_tower."):
        return name.replace("model.vision_tower.", "vision_tower.vision_model.", 1)
    if name.startswith("model.language_model."):
        return name.replace("model.language_model.", "language_model.model.", 1)
    return {"lm_head.weight": "language_model.lm_head.weight"}.get(
        name, name.removeprefix("model."))


def make_llava_next(directory, tok, vocab, photos):
    side, patch = 28, 7
    points = pinpoints(side, [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)])
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
            image_size=side, patch_size=patch, projection_dim=16),
        text_config=LlamaConfig(
            vocab_size=vocab, hidden_size=48, intermediate_size=80, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512,
            rms_norm_eps=1e-5),
        image_token_index=tok.token_to_id("<image>"), image_grid_pinpoints=points)
    model = LlavaNextForConditionalGeneration(config)
    fill_weights(model, 11)
    config.save_pretrained(directory)
    save_model(model, directory)
    processor = LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side},
            image_grid_pinpoints=points),
        tokenizer=tokenizer_of(tok), patch_size=patch,
        vision_feature_select_strategy="default", num_additional_image_tokens=1)
    save_processor(processor, directory)
    model = load(LlavaNextForConditionalGeneration, directory)
    anyres("llava-next", directory, model, processor, tok, photos, True, 2)


def make_llava_next_mistral(directory, tok, vocab, photos):
    """As the hub has it: old names, shards, a list of other files beside them."""
    side, patch = 24, 6
    points = pinpoints(side, [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)])
    write_json(f"{directory}/config.json", {
        "architectures": ["LlavaNextForConditionalGeneration"], "model_type": "llava_next",
        "ignore_index": -100, "image_token_index": tok.token_to_id("<image>"),
        "image_grid_pinpoints": points, "projector_hidden_act": "gelu",
        "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "use_image_newline_parameter": True, "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "text_config": {
            "model_type": "mistral", "vocab_size": vocab, "hidden_size": 40,
            "intermediate_size": 72, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "max_position_embeddings": 1024, "rms_norm_eps": 1e-5,
            "rope_theta": 1000000.0, "sliding_window": None},
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 56,
            "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": side,
            "patch_size": patch, "projection_dim": 16}})
    write_json(f"{directory}/preprocessor_config.json", {
        "image_processor_type": "LlavaNextImageProcessor", "do_resize": True,
        "size": {"shortest_edge": side}, "resample": 3, "do_center_crop": True,
        "crop_size": {"height": side, "width": side}, "do_rescale": True,
        "rescale_factor": 0.00392156862745098, "do_normalize": True, "do_convert_rgb": True,
        "image_grid_pinpoints": points, "do_pad": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711]})
    model = LlavaNextForConditionalGeneration(LlavaNextConfig.from_pretrained(directory))
    fill_weights(model, 12)
    save_model(model, directory, old_next_name, shards=2)
    for name, text in (("README.md", "A model card.\n"), ("training_args.bin", "no weights"),
                       ("optimizer.pt", "no weights either")):
        with open(f"{directory}/{name}", "w", encoding="utf-8") as f:
            f.write(text)
    processor = LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side},
            image_grid_pinpoints=points),
        tokenizer=tokenizer_of(tok), patch_size=patch,
        vision_feature_select_strategy="default", num_additional_image_tokens=1)
    model = load(LlavaNextForConditionalGeneration, directory)
    anyres("llava-next-mistral", directory, model, processor, tok, photos, True, 2)


def make_llava_onevision(directory, tok, vocab, photos):
    """Pixels left over beside the patches (27 = 3 * 8 + 3), a map that is shrunk."""
    side, patch = 27, 8
    points = pinpoints(side, [(r, c) for r in range(1, 5) for c in range(1, 5)])
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(
            hidden_size=36, intermediate_size=60, num_hidden_layers=2, num_attention_heads=3,
            image_size=side, patch_size=patch, vision_use_head=False),
        text_config=Qwen2Config(
            vocab_size=vocab, hidden_size=48, intermediate_size=80, num_hidden_layers=2,
            num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=512,
            rope_theta=1e6, rms_norm_eps=1e-6, tie_word_embeddings=True,
            bos_token_id=1, eos_token_id=2),
        image_token_index=tok.token_to_id("<image>"), image_grid_pinpoints=points,
        vision_aspect_ratio="anyres_max_4", tie_word_embeddings=True)
    model = LlavaOnevisionForConditionalGeneration(config)
    model.tie_weights()
    fill_weights(model, 13)
    config.save_pretrained(directory)
    save_model(model, directory, drop=("lm_head.weight",))
    images = LlavaOnevisionImageProcessorPil(
        size={"height": side, "width": side}, image_grid_pinpoints=points,
        image_mean=[0.5] * 3, image_std=[0.5] * 3)
    images.save_pretrained(directory)
    model = load(LlavaOnevisionForConditionalGeneration, directory)

    def processor(images_, text, return_tensors):
        """LlavaOnevisionProcessor needs torchvision; the model says how many rows it makes."""
        batch = images(images=images_, return_tensors=return_tensors)
        with torch.no_grad():
            rows = model.model.get_image_features(
                batch["pixel_values"], batch["image_sizes"]).pooler_output[0]
        ids = tok.encode(text.replace("<image>", "<image>" * len(rows))).ids
        return {"input_ids": torch.tensor([ids]), "pixel_values": batch["pixel_values"],
                "image_sizes": batch["image_sizes"]}

    anyres("llava-onevision", directory, model, processor, tok, photos, False, 2)


# ---- SmolVLM and Idefics3 ----

ROW_COL = [f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)]
SMOL_TOKENS = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *ROW_COL)


def idefics(name, directory, model, images, tok, photos, per_tile, image_prompt):
    core = model.model
    parts = Parts(model, core.vision_model.embeddings, core.vision_model.encoder.layers,
                  core.connector, core.text_model.layers,
                  lambda inputs: model(**inputs, use_cache=False).logits)
    v = model.config.vision_config
    parts.n_rows = (v.image_size // v.patch_size) ** 2
    image_id = tok.token_to_id("<image>")

    def prepare(image):
        batch = images(images=[[image]], return_tensors="pt", return_row_col_info=True)
        text = PROMPT.replace("<image>", image_prompt(batch["rows"][0][0],
                                                      batch["cols"][0][0], per_tile))
        ids = torch.tensor(tok.encode(text).ids)
        inputs = {"input_ids": ids[None], "pixel_values": batch["pixel_values"]}
        return ids, batch["pixel_values"][0], inputs

    expect(name, directory, parts, prepare, image_id, v.num_hidden_layers, False, PROMPT,
           photos)


def make_smolvlm(directory, tok, vocab, photos):
    """As the hub has it: no lm_head in the file, a config that does not say it is tied."""
    side, patch = 32, 8
    write_json(f"{directory}/config.json", {
        "architectures": ["SmolVLMForConditionalGeneration"], "model_type": "smolvlm",
        "image_token_id": tok.token_to_id("<image>"), "scale_factor": 2,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "text_config": {
            "model_type": "llama", "vocab_size": vocab, "hidden_size": 36,
            "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 3,
            "num_key_value_heads": 1, "head_dim": 12, "max_position_embeddings": 1024,
            "rms_norm_eps": 1e-5, "rope_theta": 100000.0, "tie_word_embeddings": True},
        "vision_config": {
            "model_type": "smolvlm_vision", "hidden_size": 24, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": side,
            "patch_size": patch}})
    config = SmolVLMConfig.from_pretrained(directory)
    model = SmolVLMForConditionalGeneration(config)
    model.tie_weights()
    fill_weights(model, 14)
    save_model(model, directory, drop=("lm_head.weight",))
    images = SmolVLMImageProcessorPil(size={"longest_edge": 4 * side},
                                      max_image_size={"longest_edge": side})
    images.save_pretrained(directory)
    model = load(SmolVLMForConditionalGeneration, directory)
    idefics("smolvlm", directory, model, images, tok, photos, 4,
            lambda rows, cols, n: get_image_prompt_string(
                rows, cols, n, fake_token_around_image="<fake_token_around_image>",
                image_token="<image>", global_image_token="<global-img>"))


def make_idefics3(directory, tok, vocab, photos):
    """One tile: the processor does not split."""
    side, patch = 28, 7
    config = Idefics3Config(
        vision_config=dict(hidden_size=24, intermediate_size=48, num_hidden_layers=2,
                           num_attention_heads=3, image_size=side, patch_size=patch),
        text_config=dict(model_type="llama", vocab_size=vocab, hidden_size=32,
                         intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=256,
                         rms_norm_eps=1e-5),
        scale_factor=2, image_token_id=tok.token_to_id("<image>"))
    model = Idefics3ForConditionalGeneration(config)
    fill_weights(model, 15)
    config.save_pretrained(directory)
    save_model(model, directory)
    images = Idefics3ImageProcessorPil(size={"longest_edge": 2 * side},
                                       max_image_size={"longest_edge": side},
                                       do_image_splitting=False)
    images.save_pretrained(directory)
    model = load(Idefics3ForConditionalGeneration, directory)
    idefics("idefics3", directory, model, images, tok, photos, 4,
            lambda rows, cols, n: "<fake_token_around_image><global-img>" + "<image>" * n +
            "<fake_token_around_image>")


# ---- Phi-3-vision: its own classes are remote code; composed of CLIPVisionModel and
# Phi3ForCausalLM of transformers, Pillow and torch.nn.functional ----

PHI_PROMPT = "<|user|>\n<image>\nWhat is the part of this animal?<|end|>\n<|assistant|>\n"


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

    def forward(self, ids, pixels, grid):
        features = self.vision(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        rows = torch.cat([self.merged(features[1:], *grid), self.glb_GN[0],
                          self.merged(features[:1], 1, 1)])
        embeds = self.lm.model.embed_tokens(ids.clamp(min=0))
        embeds[ids < 0] = self.img_projection(rows)
        return self.lm(inputs_embeds=embeds[None], use_cache=False).logits


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
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    x = (x - mean) / std
    small = torch.nn.functional.interpolate(x[None], size=(side, side), mode="bicubic")
    rows, cols = x.shape[1] // side, x.shape[2] // side
    tiles = x.reshape(3, rows, side, cols, side).permute(1, 3, 0, 2, 4)
    return torch.cat([small, tiles.reshape(-1, 3, side, side)]), (rows, cols)


def make_phi3(directory, tok, vocab, photos):
    """Short factors for one picture, long ones for the other, which has more tokens."""
    side, patch, d_head = 28, 7, 12
    rng = np.random.default_rng(16)
    short = [round(float(x), 3) for x in np.sort(1 + rng.random(d_head // 2))]
    long = [round(float(x), 3) for x in np.sort(1 + 30 * rng.random(d_head // 2))]
    rope = {"type": "su", "short_factor": short, "long_factor": long}
    text = dict(vocab_size=vocab, hidden_size=36, intermediate_size=64, num_hidden_layers=2,
                num_attention_heads=3, num_key_value_heads=3, max_position_embeddings=2048,
                original_max_position_embeddings=50, rms_norm_eps=1e-5)
    vision = dict(hidden_size=32, intermediate_size=56, num_hidden_layers=3,
                  num_attention_heads=4, image_size=side, patch_size=patch)
    write_json(f"{directory}/config.json", {
        "architectures": ["Phi3VForCausalLM"], "model_type": "phi3_v", **text,
        "rope_theta": 10000.0, "rope_scaling": rope, "sliding_window": 2047,
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
        "embd_layer": {"embedding_cls": "image", "hd_transform_order": "sub_glb",
                       "projection_cls": "mlp", "use_hd_transform": True,
                       "with_learnable_separator": True},
        "img_processor": {"image_dim_out": 32, "name": "clip_vision_model",
                          "model_name": "openai/clip-vit-large-patch14-336",
                          "num_img_tokens": 4},
        "vision_config": vision})
    write_json(f"{directory}/preprocessor_config.json", {
        "image_processor_type": "Phi3VImageProcessor", "num_crops": 6, "num_img_tokens": 4,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711]})
    model = Phi3Vision(
        CLIPVisionConfig(**vision, attn_implementation="eager"),
        Phi3Config(**text, pad_token_id=0, eos_token_id=2, attn_implementation="eager", rope_parameters={
            "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": short,
            "long_factor": long}))
    fill_weights(model, 16)
    with torch.no_grad():
        for i in (0, 2):
            w = model.img_projection[i].weight
            w.mul_(2 / w.shape[1] ** 0.5)
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
                  model.lm.model.layers, lambda inputs: model(*inputs))
    parts.n_rows = (side // patch) ** 2 + 1

    def prepare(image):
        pixels, grid = hd_pixels(image, side, 6)
        half = side // patch // 2
        n = grid[0] * half * (grid[1] * half + 1) + 1 + half * (half + 1)
        front, back = (tok.encode(t).ids for t in PHI_PROMPT.split("<image>"))
        ids = torch.tensor(front + [-1] * n + back)
        return ids, pixels, (ids, pixels, grid)

    def roles(ids, image):
        rows, cols = (x * (side // patch // 2) for x in hd_pixels(image, side, 6)[1])
        half = side // patch // 2
        kinds = ([True] * cols + [False]) * rows + [False] + ([True] * half + [False]) * half
        return newline_roles(lambda i: kinds[i], ids == -1)

    parts.roles = roles
    expect("phi-3-vision", directory, parts, prepare, -1, 2, True, PHI_PROMPT, photos)


# ---- Prismatic: composed of CLIPVisionModel and LlamaForCausalLM of transformers ----

PRISM_PROMPT = "<image>USER: What is the part of this animal? ASSISTANT:"
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


class Prismatic(torch.nn.Module):
    def __init__(self, vision, text):
        super().__init__()
        self.vision, self.lm = CLIPVisionModel(vision), LlamaForCausalLM(text)
        d, d_lm = vision.hidden_size, text.hidden_size
        self.projector = torch.nn.Sequential(
            torch.nn.Linear(d, d_lm), torch.nn.GELU(), torch.nn.Linear(d_lm, d_lm))

    def forward(self, ids, pixels):
        features = self.vision(pixels, output_hidden_states=True).hidden_states[-2][0, 1:]
        words = self.lm.model.embed_tokens(ids[ids >= 0])
        embeds = torch.cat([words[:1], self.projector(features), words[1:]])
        return self.lm(inputs_embeds=embeds[None], use_cache=False).logits


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


def round_to_bf16(model):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.to(torch.bfloat16).float())


def make_prismatic(directory, tok, vocab, photos):
    """A torch.save file of dictionaries in dictionaries."""
    side, patch = 28, 7
    text = dict(vocab_size=vocab, hidden_size=36, intermediate_size=64, num_hidden_layers=2,
                num_attention_heads=3, num_key_value_heads=3, max_position_embeddings=256,
                rms_norm_eps=1e-5)
    vision = dict(hidden_size=32, intermediate_size=56, num_hidden_layers=3,
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
    with torch.no_grad():
        for i in (0, 2):
            model.projector[i].weight.mul_(2 / model.projector[i].weight.shape[1] ** 0.5)
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
                  model.lm.model.layers, lambda inputs: model(*inputs))
    parts.n_rows = (side // patch) ** 2 + 1

    def prepare(image):
        pixels = to_pixels(torchvision_resize(letterbox(image), side))
        ids = tok.encode(PRISM_PROMPT.removeprefix("<image>")).ids
        ids = torch.tensor(ids[:1] + [-1] * (side // patch) ** 2 + ids[1:])
        return ids, pixels, (ids, pixels)

    expect("prismatic", directory, parts, prepare, -1, 2, True, PRISM_PROMPT, photos)


# ---- CLIP alone, in the layouts of Hugging Face and of OpenCLIP ----

def expect_encoder(name, directory, tower, has_cls, project, prepare, photos):
    layers = tower.encoder.layers
    n_rows = (tower.config.image_size // tower.config.patch_size) ** 2 + has_cls
    rows = torch.arange(n_rows)
    groups = {"vision": {"all": rows >= 0, "cls": rows < has_cls, "image": rows >= has_cls}}
    out = {}
    for picture, image in photos.items():
        pixels = prepare(image)
        out[f"{picture}/pixels"] = pixels.float().contiguous()
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
                out[f"{picture}/{condition}/{stage}"] = (
                    value.reshape(-1, value.shape[-1]).float().clone().contiguous())
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


def make_siglip(directory, tok, vocab, photos):
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
        vision_config=dict(hidden_size=32, intermediate_size=128, num_hidden_layers=2,
                           num_attention_heads=4, image_size=side, patch_size=patch),
        projection_dim=20, attn_implementation="eager"))
    fill_weights(model, 18)
    with torch.no_grad():
        model.visual_projection.weight.mul_(0.3)
    round_to_bf16(model)
    return model.eval()


def make_clip(directory, tok, vocab, photos):
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


def make_open_clip(directory, tok, vocab, photos):
    """The same classes under OpenCLIP's names; its crop rounds as torchvision's does."""
    side, patch = 21, 7
    model = tiny_clip(side, patch)
    write_json(f"{directory}/open_clip_config.json", {
        "model_cfg": {"embed_dim": 20, "quick_gelu": True,
                      "vision_cfg": {"image_size": side, "layers": 2, "width": 32,
                                     "head_width": 8, "patch_size": patch},
                      "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16,
                                   "heads": 2, "layers": 1}},
        "preprocess_cfg": {"mean": CLIP_MEAN, "std": CLIP_STD}})
    timm = timm_names(model.vision_model)
    tensors = {"visual.class_embedding": timm["cls_token"][0, 0],
               "visual.positional_embedding": timm["pos_embed"][0],
               "visual.conv1.weight": timm["patch_embed.proj.weight"],
               "visual.proj": model.visual_projection.weight.T,
               "logit_scale": torch.tensor(4.6)}
    renames = {"norm1": "ln_1", "norm2": "ln_2", "attn.proj": "attn.out_proj",
               "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    for name, value in timm.items():
        if name.startswith("blocks."):
            _, b, rest = name.split(".", 2)
            stem, end = rest.rsplit(".", 1)
            new = (f"attn.in_proj_{end}" if stem == "attn.qkv" else f"{renames[stem]}.{end}")
            tensors[f"visual.transformer.resblocks.{b}.{new}"] = value
        elif name.startswith("norm"):
            stem, end = name.rsplit(".", 1)
            tensors[f"visual.{'ln_pre' if stem == 'norm_pre' else 'ln_post'}.{end}"] = value
    tensors = {k: v.detach().to(torch.bfloat16).contiguous().clone() for k, v in tensors.items()}
    save_file(tensors, f"{directory}/open_clip_model.safetensors")
    expect_encoder("open_clip", directory, model.vision_model, 1, joint_of(model),
                   lambda image: to_pixels(torchvision_resize(image, side)), photos)


FAMILIES = {"llava-next": (make_llava_next, ()),
            "llava-next-mistral": (make_llava_next_mistral, ()),
            "llava-onevision": (make_llava_onevision, ()),
            "smolvlm": (make_smolvlm, SMOL_TOKENS),
            "idefics3": (make_idefics3, SMOL_TOKENS),
            "prismatic": (make_prismatic, ()),
            "clip": (make_clip, ()),
            "open_clip": (make_open_clip, ()),
            "siglip": (make_siglip, ()),
            "phi-3-vision": (make_phi3, ("<|user|>", "<|end|>", "<|assistant|>"))}


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/families"
    torch.manual_seed(0)
    torch.set_num_threads(1)
    os.makedirs(out, exist_ok=True)
    photo = make_photo(f"{out}/wide.png").convert("RGB")
    tall = photo.crop((20, 8, 116, 69)).transpose(Image.Transpose.ROTATE_90)
    tall.save(f"{out}/tall.png", optimize=True)
    y, x = np.mgrid[0:97, 0:131]
    inside = ((x - 48) / 30) ** 2 + ((y - 55) / 22) ** 2 < 1  # the ellipse of the photo
    Image.fromarray((255 * inside).astype(np.uint8)).save(f"{out}/mask.png", optimize=True)
    photos = {"wide": photo, "tall": tall}
    for name in sys.argv[2:] or FAMILIES:
        make, more = FAMILIES[name]
        directory = f"{out}/{name}"
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        tok = make_tokenizer(more)
        vocab = -(-tok.get_vocab_size() // 32) * 32
        if "clip" not in name and name != "siglip":
            with open(f"{directory}/tokenizer.json", "w", encoding="utf-8") as f:
                f.write(tok.to_str(pretty=False) + "\n")
        make(directory, tok, vocab, photos)


if __name__ == "__main__":
    main()
