"""What all families share: how a checkpoint is written, how the reference runs, what is kept.

Kept are not whole states but sixteen rows of each, from the first to the last, and every seventh
line of the pixels: a wrong row, block or place shows in them, and the vectors stay small. Rows
meet in every block, so an error anywhere reaches rows that are kept."""

import os
import shutil
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from make_llava_golden import cut_masks, save_sorted, write_json  # noqa: E402

PROMPT = "USER: <image>\nWhat is the part of this animal? ASSISTANT:"
CONDITIONS = {"clean": "", "encoder": "vision: image <- image", "decoder": "lm: image <- image"}
ATOMS = {"clean": [],
         "encoder": [("vision", None, None, ["image"], ["image"], 0)],
         "decoder": [("lm", None, None, ["image"], ["image"], 0)]}
N_ROWS, LINE_STEP, N_NEW = 16, 7, 6
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def some_rows(value):
    """Rows i (n - 1) / 15, i = 0 .. 15, of a state [n][d]; all of them where n <= 16."""
    n = len(value)
    if value.dim() < 2 or n <= N_ROWS:
        return value
    return value[[i * (n - 1) // (N_ROWS - 1) for i in range(N_ROWS)]]


def some_lines(pixels):
    return pixels[:, :, ::LINE_STEP]


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


def load(cls, directory):
    model, info = cls.from_pretrained(directory, dtype=torch.float32,
                                      attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    return model.eval()


def round_to_bf16(model):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.to(torch.bfloat16).float())


def scale_maps(*maps):
    """Maps that no gain of fill_weights knows: outputs near 2."""
    with torch.no_grad():
        for m in maps:
            m.weight.mul_(2 / m.weight.shape[1] ** 0.5)


class Parts:
    """Where the stages of a reference model are. logits(inputs) [1][n_tok][d_vocab]; answer
    (inputs, n_new) as transformers' generate returns it."""

    def __init__(self, model, first, tower, projector, text, logits, answer):
        self.model, self.first, self.tower = model, first, tower
        self.projector, self.text = projector, text
        self.logits, self.answer = logits, answer


def generate(model, **inputs):
    return model.generate(**inputs, max_new_tokens=N_NEW, do_sample=False, eos_token_id=None,
                          pad_token_id=0, return_dict_in_generate=True, output_logits=True)


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
        stages["lm.logits"] = parts.logits(inputs)[0, -1]
    for h in hooks:
        h.remove()
    return stages


def answer(name, out, parts, inputs):
    """Greedy, with the reference's own cache."""
    with torch.no_grad():
        found = parts.answer(inputs)
    logits = torch.stack([z[0] for z in found.logits])
    ids = found.sequences[0, -N_NEW:]
    top = logits.topk(2).values
    gap = float((top[:, 0] - top[:, 1]).min())
    assert torch.equal(ids, logits.argmax(1)) and gap > 1e-3, (ids, gap)
    print(f"{name} answers {ids.tolist()}, smallest gap {gap:.3f}")
    out["answer/ids"], out["answer/logits"] = ids.int().contiguous(), logits.contiguous()


def expect(name, directory, parts, prepare, image_id, n_read, has_cls, prompt, photos):
    """prepare(image) -> ids [n], pixels [tiles][3][side][side], inputs of the model."""
    out = {}
    for picture, image in photos.items():
        ids, pixels, inputs = prepare(image)
        out[f"{picture}/ids"] = ids.int()
        out[f"{picture}/pixels"] = some_lines(pixels.float()).contiguous()
        is_image = ids == image_id
        where = torch.arange(len(ids))
        clean = None
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
                clean = stages
            print(f"{name} {picture} {condition:8s} {len(pixels)} tiles, {len(ids)} tokens, "
                  f"rms of lm.depth.0 {stages['lm.depth.0'].std():.2f}, last "
                  f"{stages[last].std():.2f}, differs from clean "
                  f"{(stages[last] - clean[last]).std():.2f}")
            for stage, value in stages.items():
                assert torch.isfinite(value).all(), (condition, stage)
                tail = (last, f"vision.depth.{n_read}", "lm.logits")
                if picture != "wide" and stage not in ("lm.depth.0", "lm.logits"):
                    continue
                if condition != "clean" and stage not in tail:
                    continue
                out[f"{picture}/{condition}/{stage}"] = some_rows(value).contiguous().float()
        if picture == "wide":
            answer(name, out, parts, inputs)
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
