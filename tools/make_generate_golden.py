"""What transformers generates with the tiny checkpoints of tests/golden/llava (see requirements.txt).

    python tools/make_generate_golden.py            from the top of the tree

Writes tests/golden/llava/NAME/generate.safetensors: for each condition C, whose text stands in the metadata, C/ids i32
[n_new] and C/logits [n_new][d_vocab], greedy, f32, with the reference's own cache. Cuts are additive masks of this
file's own, applied to every call of every decoder layer: of the prompt and of each token that follows.
"""
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration

N_NEW = 12
CONDITIONS = {"clean": "", "gen": "lm: gen <- image", "both": "lm: question|gen <- image",
              "scale": "lm[1-]: gen <- image|prefix scale 0.5"}


def rows_and_factor(name, first, n_prompt, image, prefix):
    """Query rows of the call that are changed (from row `first` on), keys, log of the factor, blocks."""
    last_image = int(image.nonzero()[-1])
    return {"clean": (n_prompt + N_NEW, image, 0.0, 0), "gen": (n_prompt, image, float("-inf"), 0),
            "both": (last_image + 1, image, float("-inf"), 0),
            "scale": (n_prompt, image | prefix, float(torch.tensor(0.5).log()), 1)}[name]


def run(model, ids, pixels, image, prefix, name):
    first_row, keys, value, first_block = rows_and_factor(name, 0, len(ids), image, prefix)

    def change(_module, args, kwargs):
        mask = kwargs["attention_mask"]
        n_query, n_key = mask.shape[-2:]
        more = torch.zeros(n_query, n_key)
        rows = torch.arange(n_key - n_query, n_key) >= first_row
        columns = torch.zeros(n_key, dtype=torch.bool)
        columns[:len(keys)] = keys
        more[rows[:, None] & columns[None]] = value
        kwargs["attention_mask"] = mask + more
        return args, kwargs

    layers = model.model.language_model.layers
    hooks = [layer.self_attn.register_forward_pre_hook(change, with_kwargs=True) for layer in layers[first_block:]]
    with torch.no_grad():
        out = model.generate(input_ids=ids[None], pixel_values=pixels, attention_mask=torch.ones(1, len(ids)),
                             max_new_tokens=N_NEW, do_sample=False, eos_token_id=None, pad_token_id=0,
                             return_dict_in_generate=True, output_logits=True)
    for h in hooks:
        h.remove()
    return out.sequences[0, len(ids):], torch.stack([z[0] for z in out.logits])


def main():
    torch.set_num_threads(1)
    for checkpoint in ("mha", "gqa"):
        folder = f"tests/golden/llava/{checkpoint}"
        model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        model.eval()
        known = load_file(f"{folder}/expected.safetensors")
        with safe_open(f"{folder}/expected.safetensors", "pt") as file:
            prompt = file.metadata()["prompt"]
        ids = known["ids"].long()
        image = ids == model.config.image_token_index if hasattr(model.config, "image_token_index") else None
        image = image if image is not None else ids == model.config.image_token_id
        where = torch.arange(len(ids))
        prefix = (where > 0) & (where < int(image.nonzero()[0]))
        out = {}
        for name in CONDITIONS:
            new, logits = run(model, ids, known["pixels"], image, prefix, name)
            gaps = logits.topk(2).values.diff().abs().min()
            print(checkpoint, name, new.tolist(), f"smallest gap {gaps:.3f}")
            out[f"{name}/ids"], out[f"{name}/logits"] = new.int().contiguous(), logits.float().contiguous()
        save_file(out, f"{folder}/generate.safetensors",
                  metadata={f"condition.{k}": v for k, v in CONDITIONS.items()} | {"prompt": prompt})


main()
