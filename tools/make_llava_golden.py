"""Makes tests/golden/llava: tiny LLaVA-1.5 checkpoints with random weights and what the
reference implementation computes on them, stage by stage, clean and under cuts.

Reference: transformers (LlavaForConditionalGeneration) on PyTorch, eager attention, f32.
Cuts are written here a second time, as additive masks [head][query][key] handed to the
attention modules by hooks; nothing of tapetum takes part. Versions: requirements.txt.

Two checkpoints:
  mha  as transformers 5.23 saves it: f32, one file, mixed tensor names, crop
  gqa  as the hub has it: bf16, old names, two shards with an index, tied head, fewer
       key/value heads than heads, a head width of its own, pad to a square

expected.safetensors of each holds (f32 unless said otherwise):
  ids i32 [n_tok]   labels i32 [n_labels]   pixels [1][3][side][side]
  and for each condition C, whose text stands in the metadata as "condition.C":
  C/vision.depth.D [1 + n_patches][d]   state after D blocks, CLS first
  C/vision.features [n_patches][d]      C/projector.out [n_patches][d_lm]
  C/lm.depth.D [n_tok][d_lm]            the last one without the final norm
  C/lm.logits [d_vocab]                 of the last token
  C/ranks, C/margins [depth][patch][label]   lens with final norm; the margin is the
                                        distance from the label's logit to the nearest
"""

import json
import math
import os
import sys

import numpy as np
import tokenizers
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import (AddedToken, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)
from transformers import (CLIPVisionConfig, LlamaConfig, LlavaConfig,
                          LlavaForConditionalGeneration, LlavaProcessor,
                          PreTrainedTokenizerFast)
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

OUT = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/llava"
PROMPT = "USER: <image>\nWhat is the part of this animal? ASSISTANT:"
LABELS = ["▁ear", "▁head", "▁leg", "▁wheel", "at", "▁the"]

CORPUS = """the cat has an ear and a head and a tail and a leg and a paw
the dog has a muzzle and an eye and a nose and the horse has a hoof and a neck
the car has a wheel and a door and a window and a headlight and the bus has a mirror
the bird has a beak and a wing and the cow has a horn and an ear and a head
USER: what is the part of this animal? ASSISTANT: the ear of the cat
What is this? the wheel of the car, the leg of the horse, the head of the dog.
a person has an arm and a hand and a foot and hair and a torso and a leg and an ear
the chain wheel and the saddle and the handlebar of the bicycle, the body and the stem"""

CONDITIONS = {
    "clean": "",
    "encoder": "vision: image <- image|cls",
    "decoder": "lm: image <- image",
    "heads": "lm[1].h[0,2]: image <- image; vision[0-1].h[1]: image <- cls",
    "scale": "vision: image <- image scale 0.25; lm[1-]: image <- image|prefix scale 0.5",
}


def make_tokenizer(more=(), first=("<image>", "<pad>")):
    """Llama-2 kind: BPE with byte fallback over 256 byte pieces and a small vocabulary
    trained on the text above."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trained.train_from_iterator(
        CORPUS.split("\n"), trainers.BpeTrainer(vocab_size=200, show_progress=False))
    state = json.loads(trained.to_str())["model"]
    pieces = sorted(state["vocab"], key=state["vocab"].get)
    merges = [tuple(m) for m in state["merges"]]

    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for byte in range(256):
        vocab[f"<0x{byte:02X}>"] = len(vocab)
    for piece in pieces:
        vocab[piece] = len(vocab)
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>",
                               fuse_unk=True, byte_fallback=True))
    tok.normalizer = trained.normalizer
    tok.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(content=" ", left=1)])
    special = [AddedToken(t, normalized=False, special=True)
               for t in ("<unk>", "<s>", "</s>", *first, *more)]
    tok.add_special_tokens(special)
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tok


def make_photo(path):
    """A smooth picture with edges, 131 x 97: odd sides, no symmetry."""
    w, h = 131, 97
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    rgb = np.stack([120 + 70 * np.sin(x / 19) + 30 * np.cos(y / 7),
                    90 + 60 * np.cos((x + 2 * y) / 31) + y / 2,
                    150 - y + 40 * np.sin(x * y / 900)], axis=-1)
    rgb[((x - 48) / 30) ** 2 + ((y - 55) / 22) ** 2 < 1] += [60, -40, -50]
    rgb[((x - 95) / 13) ** 2 + ((y - 30) / 17) ** 2 < 1] -= [90, 20, -60]
    rgb[(x > 20) & (x < 33) & (y > 70)] = [30, 25, 60]
    Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).save(path, optimize=True)
    return Image.open(path)


def fill_weights(model, seed):
    """Random weights that keep states near 1 and attention far from uniform."""
    gains = {"q_proj": 1.7, "k_proj": 1.7, "v_proj": 1.0, "out_proj": 0.7, "o_proj": 0.7,
             "fc1": 1.2, "fc2": 0.7, "gate_proj": 1.4, "up_proj": 1.2, "down_proj": 0.7,
             "linear_1": 1.2, "linear_2": 1.2, "lm_head": 1.5, "patch_embedding": 1.0,
             "proj": 1.2, "qkv_proj": 1.5, "gate_up_proj": 1.3}
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            z = torch.randn(p.shape, generator=rng)
            owner = name.split(".")[-2:][0]
            if "norm" in owner or "layrnorm" in owner:
                p.copy_(1 + 0.2 * z if name.endswith("weight") else 0.1 * z)
            elif owner in gains and name.endswith("weight"):
                p.copy_(z * gains[owner] / math.sqrt(p[0].numel()))
            elif name.endswith("bias"):
                p.copy_(0.1 * z)
            else:
                p.copy_(0.6 * z)  # embeddings of words, positions and CLS


def save_mha(directory, tok, text_vocab):
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=3,
            num_attention_heads=4, image_size=56, patch_size=14, projection_dim=16),
        text_config=LlamaConfig(
            vocab_size=text_vocab, hidden_size=48, intermediate_size=96,
            num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
            max_position_embeddings=256, rms_norm_eps=1e-5),
        image_token_index=tok.token_to_id("<image>"), vision_feature_layer=-2,
        vision_feature_select_strategy="default", projector_hidden_act="gelu")
    model = LlavaForConditionalGeneration(config)
    fill_weights(model, 1)
    model.save_pretrained(directory)
    os.remove(f"{directory}/generation_config.json")
    processor = LlavaProcessor(
        image_processor=LlavaImageProcessorPil(
            size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=tok), patch_size=14,
        vision_feature_select_strategy="default", num_additional_image_tokens=1)
    processor.image_processor.save_pretrained(f"{directory}/p")
    processor.save_pretrained(f"{directory}/p")
    os.replace(f"{directory}/p/processor_config.json", f"{directory}/processor_config.json")
    for name in os.listdir(f"{directory}/p"):
        os.remove(f"{directory}/p/{name}")
    os.rmdir(f"{directory}/p")


def old_name(name):
    name = name.removeprefix("model.")
    if name.startswith("vision_tower."):
        return name.replace("vision_tower.", "vision_tower.vision_model.", 1)
    if name.startswith("language_model."):
        return name.replace("language_model.", "language_model.model.", 1)
    return "language_model.lm_head.weight" if name == "lm_head.weight" else name


def save_gqa(directory, tok, text_vocab):
    """The files as they stand on the hub: keys that equal a class default are absent."""
    config = {
        "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava",
        "ignore_index": -100, "image_token_index": tok.token_to_id("<image>"),
        "pad_token_id": tok.token_to_id("<pad>"), "projector_hidden_act": "gelu",
        "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "transformers_version": "4.36.0", "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default", "vocab_size": text_vocab,
        "text_config": {
            "model_type": "llama", "vocab_size": text_vocab, "hidden_size": 60,
            "intermediate_size": 112, "num_hidden_layers": 3, "num_attention_heads": 6,
            "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 256,
            "rope_theta": 500000.0, "tie_word_embeddings": True},
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": 40,
            "intermediate_size": 72, "num_hidden_layers": 4, "num_attention_heads": 5,
            "image_size": 42, "patch_size": 7, "projection_dim": 16},
    }
    write_json(f"{directory}/config.json", config)
    write_json(f"{directory}/preprocessor_config.json", {
        "image_processor_type": "LlavaImageProcessor", "do_pad": True,
        "do_resize": True, "size": {"shortest_edge": 42}, "resample": 3,
        "do_center_crop": True, "crop_size": {"height": 42, "width": 42},
        "do_rescale": True, "rescale_factor": 0.00392156862745098, "do_normalize": True,
        "do_convert_rgb": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711]})
    model = LlavaForConditionalGeneration(LlavaConfig.from_pretrained(directory))
    model.tie_weights()
    fill_weights(model, 2)
    tensors = {old_name(n): p.detach().to(torch.bfloat16).contiguous()
               for n, p in model.named_parameters() if n != "lm_head.weight"}
    tensors["vision_tower.vision_model.embeddings.position_ids"] = (
        torch.arange(37, dtype=torch.int64)[None])
    shards = {"model-00001-of-00002.safetensors": {}, "model-00002-of-00002.safetensors": {}}
    first, second = shards
    for name, t in tensors.items():
        late = "layers.1." in name or "layers.2." in name or "projector" in name
        shards[second if late else first][name] = t
    for file, part in shards.items():
        save_file(part, f"{directory}/{file}", metadata={"format": "pt"})
    write_json(f"{directory}/model.safetensors.index.json", {
        "metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
        "weight_map": {n: f for f, part in sorted(shards.items()) for n in sorted(part)}})


def save_sorted(tensors, path, metadata):
    """As save_file, with the header's keys in order: the same bytes on every run."""
    save_file(tensors, path, metadata=metadata)
    with open(path, "rb") as f:
        blob = f.read()
    n = int.from_bytes(blob[:8], "little")
    header = json.dumps(json.loads(blob[8:8 + n]), sort_keys=True, separators=(",", ":"))
    with open(path, "wb") as f:
        header = header.encode().ljust(-(-len(header.encode()) // 8) * 8)
        f.write(len(header).to_bytes(8, "little") + header + blob[8 + n:])


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1, ensure_ascii=False)
        f.write("\n")


def cut_masks(atoms, stack, n_blocks, n_heads, groups):
    """Additive masks [1][n_heads][n][n] of one stack, one per block, None if untouched.
    atoms: (stack, blocks or None, heads or None, queries, keys, factor); self is kept."""
    n = groups[stack]["all"].shape[0]
    masks = []
    for block in range(n_blocks):
        m = torch.zeros(1, n_heads, n, n)
        for a_stack, blocks, heads, queries, keys, factor in atoms:
            if a_stack != stack or (blocks is not None and block not in blocks):
                continue
            q = groups[stack][queries[0]]
            k = torch.stack([groups[stack][name] for name in keys]).any(0)
            edges = q[:, None] & k[None, :] & ~torch.eye(n, dtype=torch.bool)
            value = math.log(factor) if factor > 0 else -math.inf
            for h in range(n_heads) if heads is None else heads:
                m[0, h][edges] += value
        masks.append(m if bool((m != 0).any()) else None)
    return masks


ATOMS = {
    "clean": [],
    "encoder": [("vision", None, None, ["image"], ["image", "cls"], 0)],
    "decoder": [("lm", None, None, ["image"], ["image"], 0)],
    "heads": [("lm", [1], [0, 2], ["image"], ["image"], 0),
              ("vision", [0, 1], [1], ["image"], ["cls"], 0)],
    "scale": [("vision", None, None, ["image"], ["image"], 0.25),
              ("lm", range(1, 99), None, ["image"], ["image", "prefix"], 0.5)],
}


def run(model, ids, pixels, groups, atoms):
    """One forward pass with the cuts of `atoms`; returns the stages by name."""
    core = model.model
    tower, text = core.vision_tower, core.language_model
    stages, hooks = {}, []

    def keep(name):
        def hook(_module, _args, output):
            stages[name] = (output[0] if isinstance(output, tuple) else output)[0].clone()
        return hook

    def add_mask(mask):
        def hook(_module, args, kwargs):
            base = kwargs.get("attention_mask")
            kwargs["attention_mask"] = mask if base is None else base + mask
            return args, kwargs
        return hook

    hooks.append(tower.pre_layrnorm.register_forward_hook(keep("vision.depth.0")))
    for b, layer in enumerate(tower.encoder.layers):
        hooks.append(layer.register_forward_hook(keep(f"vision.depth.{b + 1}")))
    hooks.append(core.multi_modal_projector.register_forward_hook(keep("projector.out")))
    hooks.append(core.multi_modal_projector.register_forward_pre_hook(
        lambda _m, args: stages.__setitem__("vision.features", args[0][0].clone())))
    hooks.append(text.layers[0].register_forward_pre_hook(
        lambda _m, args, kw: stages.__setitem__(
            "lm.depth.0", (args[0] if args else kw["hidden_states"])[0].clone()),
        with_kwargs=True))
    for b, layer in enumerate(text.layers):
        hooks.append(layer.register_forward_hook(keep(f"lm.depth.{b + 1}")))
    for stack, layers, n_heads in (
            ("vision", tower.encoder.layers, tower.config.num_attention_heads),
            ("lm", text.layers, text.config.num_attention_heads)):
        for layer, mask in zip(layers, cut_masks(atoms, stack, len(layers), n_heads, groups)):
            if mask is not None:
                hooks.append(layer.self_attn.register_forward_pre_hook(
                    add_mask(mask), with_kwargs=True))
    with torch.no_grad():
        out = model(input_ids=ids[None], pixel_values=pixels, use_cache=False)
    for h in hooks:
        h.remove()
    n_read = len(tower.encoder.layers) + 1 + model.config.vision_feature_layer
    for b in range(n_read + 1, len(tower.encoder.layers) + 1):
        del stages[f"vision.depth.{b}"]
    stages["lm.logits"] = out.logits[0, -1]
    return stages


def lens(model, stages, image, labels):
    """Ranks and margins [depth][patch][label] (METHOD 5.6): ties count half."""
    norm, head = model.model.language_model.norm, model.lm_head.weight.double()
    n_depths = 1 + len(model.model.language_model.layers)
    ranks, margins = [], []
    with torch.no_grad():
        for d in range(n_depths):
            z = norm(stages[f"lm.depth.{d}"][image]).double() @ head.T
            z_y = z[:, labels]
            gap = z[:, None, :] - z_y[:, :, None]
            ties = (gap == 0).sum(-1) - 1
            ranks.append(1 + (gap > 0).sum(-1) + 0.5 * ties)
            gap[:, torch.arange(len(labels)), labels] = math.inf
            margins.append(gap.abs().min(-1).values)
    return torch.stack(ranks).float(), torch.stack(margins).float()


def make(name, save, tok, vocab, photo):
    directory = f"{OUT}/{name}"
    os.makedirs(directory, exist_ok=True)
    save(directory, tok, vocab)
    with open(f"{directory}/tokenizer.json", "w", encoding="utf-8") as f:
        f.write(tok.to_str(pretty=False) + "\n")

    # The reference reads the files back: names, types and configuration are its own view.
    model, info = LlavaForConditionalGeneration.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager",
        output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    model.eval()
    side = model.config.vision_config.image_size
    n_patches = (side // model.config.vision_config.patch_size) ** 2
    pad = name == "gqa"
    pixels = LlavaImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}, do_pad=pad)(
            photo, return_tensors="pt")["pixel_values"].float()
    ids = torch.tensor(tok.encode(PROMPT.replace("<image>", "<image>" * n_patches)).ids)
    image = ids == tok.token_to_id("<image>")
    assert int(image.sum()) == n_patches
    first = int(image.nonzero()[0])
    where = torch.arange(len(ids))
    rows = torch.arange(n_patches + 1)
    groups = {"vision": {"all": rows >= 0, "cls": rows == 0, "image": rows > 0},
              "lm": {"all": where >= 0, "image": image,
                     "prefix": (where > 0) & (where < first)}}
    labels = torch.tensor([tok.token_to_id(w) for w in LABELS])

    out = {"ids": ids.int(), "labels": labels.int(), "pixels": pixels}
    for condition, atoms in ATOMS.items():
        stages = run(model, ids, pixels, groups, atoms)
        ranks, margins = lens(model, stages, image, labels)
        stages["ranks"], stages["margins"] = ranks, margins
        for stage, value in stages.items():
            assert torch.isfinite(value).all(), (condition, stage)
            out[f"{condition}/{stage}"] = value.contiguous().float()
        last = out[f"{condition}/lm.depth.{len(model.model.language_model.layers)}"]
        print(f"{name} {condition:8s} rms of depth 0 {stages['lm.depth.0'].std():.2f}, last "
              f"{last.std():.2f}, best rank {ranks.min():.0f}, median {ranks.median():.0f}, "
              f"margin above 1e-3 {(margins > 1e-3).float().mean():.3f}, differs from clean "
              f"{(last - out[f'clean/{last_name(model)}']).std():.2f}")
    meta = {f"condition.{k}": v for k, v in CONDITIONS.items()}
    meta |= {"prompt": PROMPT, "image": "photo.png",
             "made by": f"torch {torch.__version__}, transformers "
                        f"{transformers.__version__}, tokenizers {tokenizers.__version__}"}
    save_sorted(out, f"{directory}/expected.safetensors", meta)
    back = load_file(f"{directory}/expected.safetensors")
    assert all(torch.equal(back[k], v) for k, v in out.items())


def last_name(model):
    return f"lm.depth.{len(model.model.language_model.layers)}"


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    os.makedirs(OUT, exist_ok=True)
    tok = make_tokenizer()
    for word in LABELS:
        assert tok.token_to_id(word) is not None, word
    vocab = -(-tok.get_vocab_size() // 32) * 32  # rows without a word, as on the hub
    photo = make_photo(f"{OUT}/photo.png")
    make("mha", save_mha, tok, vocab, photo)
    make("gqa", save_gqa, tok, vocab, photo)


if __name__ == "__main__":
    main()
