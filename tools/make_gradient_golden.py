"""Makes tests/golden/gradient: how the next word's logit depends on the rows that enter the
decoder, of the tiny LLaVA checkpoints of tests/golden/llava, by autograd of PyTorch through
transformers' own model (f32, eager attention).

NAME.safetensors holds, f32: embed [n_tok][d], what enters the decoder · gradient [n_tok][d] of
the logit of token `word` (in the metadata) behind the last row · logit [1] · scores f64 [n_image], integrated
gradients from the mean image row in 50 steps (read/intgrad.h). Versions: requirements.txt.
"""

import os
import sys

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import LlavaForConditionalGeneration

LLAVA = "tests/golden/llava"
OUT = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/gradient"
STEPS = 50


def make(name, word):
    hf = LlavaForConditionalGeneration.from_pretrained(
        f"{LLAVA}/{name}", dtype=torch.float32, attn_implementation="eager").eval()
    golden = load_file(f"{LLAVA}/{name}/expected.safetensors")
    ids = golden["ids"].long()
    tok = Tokenizer.from_file(f"{LLAVA}/{name}/tokenizer.json")
    image = ids == tok.token_to_id("<image>")
    with torch.no_grad():
        embed = hf.get_input_embeddings()(ids).clone()
        out = hf.model.get_image_features(pixel_values=golden["pixels"])
        out = getattr(out, "pooler_output", out)
        embed[image] = out[0] if isinstance(out, (list, tuple)) else out.reshape(-1, embed.shape[1])

    def slope(x):
        x = x.clone().requires_grad_(True)
        logits = hf.lm_head(hf.model.language_model(inputs_embeds=x[None]).last_hidden_state)
        z = logits[0, -1, word]
        z.backward()
        return x.grad, z.detach()

    gradient, logit = slope(embed)
    base = embed.clone()
    base[image] = embed[image].mean(0)
    total = torch.zeros_like(embed, dtype=torch.float64)
    for alpha in torch.linspace(0, 1, STEPS, dtype=torch.float64):
        at = (base.double() + alpha * (embed.double() - base.double())).float()
        total += slope(at)[0].double()
    scores = ((embed - base).double() * total / STEPS).abs().sum(1)[image]
    os.makedirs(OUT, exist_ok=True)
    save_file({"embed": embed, "gradient": gradient, "logit": logit[None],
               "scores": scores}, f"{OUT}/{name}.safetensors", {"word": str(word)})
    print(name, "logit", float(logit), "gradient rms", float(gradient.square().mean().sqrt()),
          "scores", float(scores.min()), "to", float(scores.max()))


torch.manual_seed(0)
for name, word in (("mha", 318), ("gqa", 318)):
    make(name, word)
