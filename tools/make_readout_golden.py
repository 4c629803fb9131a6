"""Makes tests/golden/llava/*/readouts.safetensors and translator.safetensors: what the
reference implementation gives for every readout beside the plain lens.

Reference: transformers on PyTorch, eager attention, f32; run make_llava_golden.py first.
Everything is computed from the modules' own inputs and outputs by hooks; nothing of
tapetum takes part. Versions: requirements.txt.

translator.safetensors  D.weight [d][d], D.bias [d] for each depth D but the last
readouts.safetensors    (f32 unless said otherwise; label = those of make_llava_golden.py)
  R/scores, R/ranks, R/margins [state][patch][label] for R in
    none (no norm), embed (cosine with input embeddings), tuned (translator, then norm),
    head (encoder depth through the projector), value (W_O v), key (W_K^T k)
  sequence/...     [depth][patch][word]: mean logit of the pieces of each word
  words i32 [n]    the pieces of all words, sizes i32 [word] how many each has
  top/ids i32, top/logits [depth][patch][5], log_sums [depth][patch]
  and for C in clean, decoder, heads:
  C/rows [block][head][query][n_tok]   attention weights of the rows queries i32 [n]
  C/answer [token]                     log p of each token of `answer` i32 [token]
answers.tsv             the same as text: checkpoint, log p of each token, condition
"""

import math
import sys

import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import LlavaForConditionalGeneration
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

sys.argv = sys.argv[:1]
import make_llava_golden as base

WORDS = [["▁the", "ain"], ["▁m", "u", "z", "z", "le"], ["▁ear"], ["at", "at"]]
ANSWER = ["▁the", "▁ear", "▁of"]


def ranks_of(z, scores, own):
    """Ranks and margins of scores [...][n] among logits z [...][v]; own[i]: ids that do not
    compete with word i."""
    ranks, margins = [], []
    for i, ids in enumerate(own):
        gap = z - scores[..., i:i + 1]
        gap[..., ids] = -math.inf
        ranks.append(1 + (gap > 0).sum(-1) + 0.5 * (gap == 0).sum(-1))
        margins.append(gap.abs().min(-1).values)
    return torch.stack(ranks, -1).float(), torch.stack(margins, -1).float()


def record(model, ids, pixels, groups, atoms):
    """Residual depths of both stacks, values, keys and attention inputs of the decoder."""
    text = model.model.language_model
    kept, hooks = {}, []
    for b, layer in enumerate(text.layers):
        for name in ("k_proj", "v_proj"):
            hooks.append(getattr(layer.self_attn, name).register_forward_hook(
                lambda _m, _a, out, key=f"{name}.{b}": kept.__setitem__(key, out[0].clone())))
        hooks.append(layer.self_attn.register_forward_hook(
            lambda _m, _a, out, key=f"pattern.{b}": kept.__setitem__(key, out[1][0].clone())))
    stages = base.run(model, ids, pixels, groups, atoms)
    for h in hooks:
        h.remove()
    return stages | kept


def answer_of(model, ids, pixels, groups, atoms, answer):
    """log p of the answer's tokens, fed one after the other. The cut acts on the prompt's
    rows as before; the answer's rows are nobody's group."""
    whole = torch.cat([ids, answer])
    grown = {"vision": groups["vision"], "lm": {
        k: torch.cat([v, torch.zeros(len(answer), dtype=torch.bool)])
        for k, v in groups["lm"].items()}}
    logits = []
    hook = model.lm_head.register_forward_hook(lambda _m, _a, out: logits.append(out[0]))
    base.run(model, whole, pixels, grown, atoms)
    hook.remove()
    p = torch.log_softmax(logits[0].double(), -1)
    first = len(ids) - 1
    return torch.stack([p[first + i, t] for i, t in enumerate(answer)])


def make(name, photo):
    directory = f"{base.OUT}/{name}"
    model = LlavaForConditionalGeneration.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager").eval()
    tok = Tokenizer.from_file(f"{directory}/tokenizer.json")
    vision, lm = model.config.vision_config, model.config.text_config
    side, n_patches = vision.image_size, (vision.image_size // vision.patch_size) ** 2
    pixels = LlavaImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side},
        do_pad=name == "gqa")(photo, return_tensors="pt")["pixel_values"].float()
    ids = torch.tensor(
        tok.encode(base.PROMPT.replace("<image>", "<image>" * n_patches)).ids)
    image = ids == tok.token_to_id("<image>")
    where, rows = torch.arange(len(ids)), torch.arange(n_patches + 1)
    first = int(image.nonzero()[0])
    groups = {"vision": {"all": rows >= 0, "cls": rows == 0, "image": rows > 0},
              "lm": {"all": where >= 0, "image": image,
                     "prefix": (where > 0) & (where < first)}}
    labels = [tok.token_to_id(w) for w in base.LABELS]
    words = [[tok.token_to_id(p) for p in w] for w in WORDS]
    answer = torch.tensor([tok.token_to_id(p) for p in ANSWER])
    assert None not in labels and all(None not in w for w in words), words

    core = model.model
    text, d = core.language_model, lm.hidden_size
    head, embed = model.lm_head.weight.double(), text.embed_tokens.weight.double()
    n_heads, n_kv = lm.num_attention_heads, lm.num_key_value_heads
    out, translator = {}, {}
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        s = record(model, ids, pixels, groups, [])
        depths = [s[f"lm.depth.{b}"][image] for b in range(len(text.layers) + 1)]
        for b in range(len(text.layers)):
            translator[f"{b}.weight"] = 0.3 * torch.randn(d, d, generator=rng) / math.sqrt(d)
            translator[f"{b}.bias"] = 0.2 * torch.randn(d, generator=rng)
        tuned = [h + h @ translator[f"{b}.weight"].T + translator[f"{b}.bias"]
                 if f"{b}.weight" in translator else h for b, h in enumerate(depths)]
        n_read = len(core.vision_tower.encoder.layers) + 1 + model.config.vision_feature_layer
        exits = [core.multi_modal_projector(s[f"vision.depth.{b}"][None, 1:])[0]
                 for b in range(n_read + 1)]
        values, keys = [], []
        for b, layer in enumerate(text.layers):
            v = s[f"v_proj.{b}"][image].unflatten(-1, (n_kv, -1))
            v = v.repeat_interleave(n_heads // n_kv, dim=1).flatten(1)
            values.append(v @ layer.self_attn.o_proj.weight.T)
            keys.append(s[f"k_proj.{b}"][image] @ layer.self_attn.k_proj.weight)

        norm = lambda h: text.norm(h).double()
        spoken = {"none": ([h.double() for h in depths], head),
                  "embed": ([h.double() for h in depths],
                            embed / embed.norm(dim=-1, keepdim=True)),
                  "tuned": ([norm(h) for h in tuned], head),
                  "head": ([norm(h) for h in exits], head),
                  "value": ([norm(h) for h in values], head),
                  "key": ([norm(h) for h in keys], head)}
        for readout, (states, matrix) in spoken.items():
            z = torch.stack(states) @ matrix.T
            z = torch.nan_to_num(z)  # rows of zeros have no cosine
            scores = z[..., labels]
            out[f"{readout}/scores"] = scores
            out[f"{readout}/ranks"], out[f"{readout}/margins"] = ranks_of(
                z, scores, [[t] for t in labels])
        z = torch.stack([norm(h) for h in depths]) @ head.T
        scores = torch.stack([z[..., w].mean(-1) for w in words], -1)
        out["sequence/scores"] = scores
        out["sequence/ranks"], out["sequence/margins"] = ranks_of(z, scores, words)
        top = z.topk(5)
        out["top/ids"], out["top/logits"] = top.indices.int(), top.values
        out["log_sums"] = z.logsumexp(-1)
        out["words"] = torch.tensor([t for w in words for t in w]).int()
        out["sizes"] = torch.tensor([len(w) for w in words]).int()
        out["answer"] = answer.int()
        queries = torch.tensor([first + 1, first + 2, first + n_patches - 1, len(ids) - 1])
        out["queries"] = queries.int()
        for condition in ("clean", "decoder", "heads"):
            atoms = base.ATOMS[condition]
            cut = record(model, ids, pixels, groups, atoms)
            out[f"{condition}/rows"] = torch.stack(
                [cut[f"pattern.{b}"][:, queries] for b in range(len(text.layers))])
            out[f"{condition}/answer"] = answer_of(model, ids, pixels, groups, atoms, answer)
            with open(f"{base.OUT}/answers.tsv", "a", encoding="utf-8") as f:
                log_ps = " ".join(f"{p:.5f}" for p in out[f"{condition}/answer"])
                f.write(f"{name}\t{log_ps}\t{base.CONDITIONS[condition]}\n")
    out = {k: v.contiguous() if v.dtype == torch.int32 else v.float().contiguous()
           for k, v in out.items()}
    assert all(torch.isfinite(v).all() for v in out.values())
    save_file(translator, f"{directory}/translator.safetensors")
    base.save_sorted(out, f"{directory}/readouts.safetensors", {
        "prompt": base.PROMPT, "image": "photo.png",
        "made by": f"torch {torch.__version__}"})
    for k in ("none", "embed", "tuned", "head", "value", "key", "sequence"):
        print(f"{name} {k:9s} states {len(out[k + '/ranks'])}, median rank "
              f"{out[k + '/ranks'].median():.0f}, margin above 1e-3 "
              f"{(out[k + '/margins'] > 1e-3).float().mean():.3f}")


def main():
    torch.set_num_threads(1)
    open(f"{base.OUT}/answers.tsv", "w", encoding="utf-8").close()
    photo = Image.open(f"{base.OUT}/photo.png")
    make("mha", photo)
    make("gqa", photo)


if __name__ == "__main__":
    main()
