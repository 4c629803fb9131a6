#!/usr/bin/env python3
"""The same jobs as bench_job.c, as a researcher writes them with transformers.

    peer_hf.py MODEL f32|bf16 THREADS DIRECTORY

DIRECTORY holds what `bench_job ... setup` wrote. Standard input, one job a line:

    forward eager|sdpa      one clean forward to the last logits
    lens                    ranks of the words for every image row of one depth
    opi N all|parts plain|smart FILE
    product                 608 x 4096 x 4096 by torch
    peak                    resident memory at its largest

plain: per condition one forward of the whole model, 4-dimensional additive masks set by hooks,
hidden states kept, lens by chunks of rows. smart: vision output kept per encoder condition,
only prefix and image tokens through the decoder.
"""
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from transformers import LlavaForConditionalGeneration

CHUNK_ROWS = 192


class Peer:
    def __init__(self, model, dtype, threads, directory):
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
        self.model = LlavaForConditionalGeneration.from_pretrained(
            model, dtype=self.dtype, attn_implementation="eager").eval()
        self.vision = self.model.model.vision_tower
        self.vision = getattr(self.vision, "vision_model", self.vision)
        self.lm = self.model.model.language_model
        at = Path(directory)
        job = json.loads((at / "job.json").read_text())
        self.labels = job["labels"]
        self.n_image, self.last_image = job["n_image"], job["last_image"]
        self.ids = torch.from_numpy(np.fromfile(at / "ids.i32", np.int32)).long()[None]
        side = self.model.config.vision_config.image_size
        self.pixels = torch.from_numpy(
            np.fromfile(at / "pixels.f32", np.float32)).view(1, 3, side, side).to(self.dtype)
        first = job["first_image"]
        self.rows = {"all": torch.arange(first, first + self.n_image),
                     "parts": torch.from_numpy(np.fromfile(at / "rows.i32", np.int32)).long()}
        self.first_image = first

    # masks: 0 where a query may read a key, else the least number
    def vision_mask(self, off):
        n = self.n_image + 1
        mask = torch.zeros(n, n, dtype=self.dtype)
        if off:
            mask[1:, :] = torch.finfo(self.dtype).min
            mask.fill_diagonal_(0)
        return mask[None, None]

    def lm_mask(self, n, off):
        least = torch.finfo(self.dtype).min
        mask = torch.full((n, n), least, dtype=self.dtype).triu(1)
        if off:
            image = slice(self.first_image, self.last_image + 1)
            mask[image, image] = least
            mask.fill_diagonal_(0)
        return mask[None, None]

    @staticmethod
    def cut_here(which, block, n_blocks):
        half = n_blocks // 2
        return which == 1 or (which == 2 and block < half) or (which == 3 and block >= half)

    def hooks(self, layers, n_blocks, which, masks, kept=None):
        """Sets each block's mask and keeps what enters it."""
        handles = []
        for b, layer in enumerate(layers):
            mask = masks[self.cut_here(which, b, n_blocks)]

            def before(_module, args, kwargs, mask=mask):
                if kept is not None:
                    kept.append(args[0] if args else kwargs["hidden_states"])
                if len(args) > 1:
                    args = (args[0], mask) + args[2:]
                else:
                    kwargs = dict(kwargs, attention_mask=mask)
                return args, kwargs

            handles.append(layer.register_forward_pre_hook(before, with_kwargs=True))
        if kept is not None:
            def after(_module, _args, output):
                kept.append(output[0] if isinstance(output, tuple) else output)
            handles.append(layers[-1].register_forward_hook(after))
        return handles

    def ranks(self, states, rows, normed=False):
        """[rows][labels] of one depth, chunks of rows at a time."""
        out = torch.empty(len(rows), len(self.labels))
        for i in range(0, len(rows), CHUNK_ROWS):
            h = states[0, rows[i:i + CHUNK_ROWS]]
            logits = self.model.lm_head(h if normed else self.lm.norm(h))
            for j, label in enumerate(self.labels):
                z = logits[:, label:label + 1]
                greater = (logits > z).sum(-1)
                equal = (logits == z).sum(-1)
                out[i:i + CHUNK_ROWS, j] = 1 + greater.float() + 0.5 * (equal.float() - 1)
        return out

    def condition(self, i, n):
        k = {16: 4, 4: 2, 1: 1}[n]
        return i // k, i % k

    def lens_all(self, kept, rows):
        return torch.stack([self.ranks(h, rows) for h in kept])

    def opi_plain(self, n, rows):
        vision_layers, n_vision = self.vision.encoder.layers, len(self.vision.encoder.layers) - 1
        masks_v = [self.vision_mask(False), self.vision_mask(True)]
        masks_l = [self.lm_mask(self.ids.shape[1], False), self.lm_mask(self.ids.shape[1], True)]
        result = []
        for i in range(n):
            encoder, decoder = self.condition(i, n)
            kept = []
            handles = self.hooks(vision_layers, n_vision, encoder, masks_v)
            handles += self.hooks(self.lm.layers, len(self.lm.layers), decoder, masks_l, kept)
            self.model(input_ids=self.ids, pixel_values=self.pixels, use_cache=False,
                       logits_to_keep=1)
            for handle in handles:
                handle.remove()
            result.append(self.lens_all(kept, rows))
        return torch.stack(result)

    def features(self, encoder):
        layers = self.vision.encoder.layers
        n = len(layers) - 1
        masks = [self.vision_mask(False), self.vision_mask(True)]
        h = self.vision.pre_layrnorm(self.vision.embeddings(self.pixels))
        for b in range(n):
            h = layers[b](h, masks[self.cut_here(encoder, b, n)])
            h = h[0] if isinstance(h, tuple) else h
        return self.model.model.multi_modal_projector(h[:, 1:])

    def opi_smart(self, n, rows):
        n_rows = self.last_image + 1
        masks = [self.lm_mask(n_rows, False), self.lm_mask(n_rows, True)]
        prefix = self.lm.embed_tokens(self.ids[:, :self.first_image])
        features = {}
        result = []
        for i in range(n):
            encoder, decoder = self.condition(i, n)
            if encoder not in features:
                features[encoder] = self.features(encoder)
            kept = []
            handles = self.hooks(self.lm.layers, len(self.lm.layers), decoder, masks, kept)
            self.lm(inputs_embeds=torch.cat([prefix, features[encoder]], 1), use_cache=False)
            for handle in handles:
                handle.remove()
            result.append(self.lens_all(kept, rows))
        return torch.stack(result)

    def run(self, words):
        start = time.perf_counter()
        if words[0] == "forward":
            self.model.set_attn_implementation(words[1])
            start = time.perf_counter()
            self.model(input_ids=self.ids, pixel_values=self.pixels, use_cache=False,
                       logits_to_keep=1)
            seconds = time.perf_counter() - start
            self.model.set_attn_implementation("eager")
            return {"seconds": seconds}
        if words[0] == "lens":
            d = self.model.config.text_config.hidden_size
            states = torch.randn(1, self.last_image + 1, d).to(self.dtype)
            start = time.perf_counter()
            self.ranks(states, self.rows["all"])
        elif words[0] == "opi":
            run = self.opi_plain if words[3] == "plain" else self.opi_smart
            result = run(int(words[1]), self.rows[words[2]])
            if len(words) > 4:
                result.numpy().astype(np.float32).tofile(words[4])
        elif words[0] == "product":
            return {"torch": self.product()}
        elif words[0] != "peak":
            raise ValueError("no such job: " + " ".join(words))
        return {"seconds": time.perf_counter() - start,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}

    def product(self):
        x = torch.randn(608, 4096).to(self.dtype)
        w = torch.randn(4096, 4096).to(self.dtype)
        speeds = []
        for _ in range(9):
            start = time.perf_counter()
            for _ in range(3):
                torch.nn.functional.linear(x, w)
            speeds.append(3 * 2.0 * 608 * 4096 * 4096 / (time.perf_counter() - start) * 1e-9)
        return sorted(speeds)[len(speeds) // 2]


def main():
    model, dtype, threads, directory = sys.argv[1:5]
    peer = Peer(model, dtype, int(threads), directory)
    for line in sys.stdin:
        print(json.dumps(peer.run(line.split())), flush=True)


if __name__ == "__main__":
    main()
