"""Makes tests/golden/families: for each family a tiny checkpoint with random weights in the
layout that its users have, and what the reference implementation computes on it, stage by
stage, clean and under cuts.

    python tools/make_family_golden.py [OUT [FAMILY ...]]

Reference: transformers on PyTorch, eager attention, f32 (weights are stored as bf16). Where
a family is remote code, its own classes cannot be had here: they are composed of reference
parts (family_golden/phi3.py, prismatic.py, xgen.py), and docs/parity.md says so. Cuts are
additive masks handed to the attention modules by hooks; nothing of tapetum takes part.
Versions: requirements.txt.

expected.safetensors of each holds, for each picture P (wide: photo.png of the llava folder,
tall: its middle, 61 x 96 after a turn), f32 unless said otherwise:
  P/ids i32 [n_tok]             image rows carry the image token
  P/pixels [n_tiles][3][side / 7, rounded up][side]: every seventh line
and for each condition C, whose text stands in the metadata as "condition.C" (tall: clean,
  lm.depth.0 and logits alone; under cuts: the last depths and logits), sixteen rows of each
  state (all of fewer), row i (n - 1) / 15 of n:
  P/C/vision.depth.D [16][d]             tiles one after the other
  P/C/vision.features                    where a reference module sees them
  P/C/projector.out [16][d]              before newlines are put in
  P/C/lm.depth.D [16][d_lm]              the last one without the final norm
  P/C/lm.logits [d_vocab]                of the last token
and of the greedy answer to the wide picture:
  answer/ids i32 [6], answer/logits [6][d_vocab]
"""

import os
import shutil
import sys

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from family_golden import encoders, idefics, llava, phi3, prismatic, xgen  # noqa: E402
from make_llava_golden import make_photo, make_tokenizer  # noqa: E402

# name: (maker, words of its own in the tokenizer, or the tokenizer's maker; None: no words)
FAMILIES = {"llava-next": (llava.make_next, ()),
            "llava-next-mistral": (llava.make_next_mistral, ()),
            "llava-next-llama-3": (llava.make_next_llama3, llava.llama3_tokenizer),
            "llava-next-yi": (llava.make_next_yi, llava.yi_tokenizer),
            "llava-onevision": (llava.make_onevision, ()),
            "smolvlm": (idefics.make_smolvlm, idefics.TOKENS),
            "idefics3": (idefics.make_idefics3, idefics.TOKENS),
            "phi-3-vision": (phi3.make, ("<|user|>", "<|end|>", "<|assistant|>")),
            "xgen-mm": (xgen.make, xgen.tokenizer),
            "xgen-mm-1": (xgen.make_version_1, xgen.tokenizer),
            "prismatic": (prismatic.make, ()),
            "clip": (encoders.make_clip, None),
            "open_clip": (encoders.make_open_clip, None),
            "siglip": (encoders.make_siglip, None)}


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
        make, words = FAMILIES[name]
        directory = f"{out}/{name}"
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        if words is None:
            make(directory, photos)
            continue
        tok = words() if callable(words) else make_tokenizer(words)
        with open(f"{directory}/tokenizer.json", "w", encoding="utf-8") as f:
            f.write(tok.to_str(pretty=False) + "\n")
        make(directory, tok, -(-tok.get_vocab_size() // 32) * 32, photos)


if __name__ == "__main__":
    main()
