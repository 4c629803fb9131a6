"""Checksums of what the families' processors make of pictures of every kind and size:
tests/golden/image/tiled.tsv, read by tests/golden/test_tiling.c.

Reference: the PIL backends of transformers' processors; for Phi-3-vision, xGen-MM, Prismatic and OpenCLIP,
whose code is their own, Pillow and torch as family_golden composes them; these drop alpha. Pictures: those that
make_image_golden.py made, and patterns (37 x + 91 y + 13 x y + 57 c) mod 256 of many sizes.
Columns: picture (file, or "WxH" of a pattern), processor, tiles, CRC-32 of the f32 pixels of all tiles
("-" where the reference refuses the picture). Of Phi-3-vision the thumbnail, which is interpolated in
floats, is left out. Versions: requirements.txt.
"""
import os
import sys
import zlib

import numpy as np
from PIL import Image
from transformers.image_transforms import convert_to_rgb
from transformers.models.idefics3.image_processing_pil_idefics3 import (
    Idefics3ImageProcessorPil)
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil)
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from family_golden import xgen  # noqa: E402
from family_golden.llava import pinpoints  # noqa: E402
from family_golden.parts import CLIP_MEAN, CLIP_STD  # noqa: E402
from family_golden.phi3 import hd_pixels  # noqa: E402
from family_golden.prismatic import letterbox, to_pixels, torchvision_resize  # noqa: E402

OUT = os.path.join(os.path.dirname(__file__), "..", "tests", "golden", "image")
SIZES = [(1, 1), (1, 50), (50, 1), (2, 2), (2, 999), (999, 2), (7, 5), (5, 7), (27, 28), (28, 28), (29, 28),
         (56, 56), (57, 56), (56, 57), (84, 28), (28, 84), (85, 29), (100, 61), (61, 100), (128, 128),
         (129, 127), (97, 131), (131, 97), (333, 500), (500, 333), (640, 480), (480, 640), (1000, 31),
         (31, 1000), (1023, 769)]

half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
NEXT = LlavaNextImageProcessorPil(
    size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28},
    image_grid_pinpoints=pinpoints(28, [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]))
ONEVISION = LlavaOnevisionImageProcessorPil(
    size={"height": 27, "width": 27}, **half,
    image_grid_pinpoints=pinpoints(27, [(r, c) for r in range(1, 5) for c in range(1, 5)]))
SMOLVLM = SmolVLMImageProcessorPil(size={"longest_edge": 128}, max_image_size={"longest_edge": 32})
IDEFICS = Idefics3ImageProcessorPil(size={"longest_edge": 56}, max_image_size={"longest_edge": 28},
                                    do_image_splitting=False)
SIGLIP = SiglipImageProcessorPil(size={"height": 28, "width": 28})

PROCESSORS = {
    "next": lambda i: NEXT(images=i, return_tensors="np")["pixel_values"][0],
    "onevision": lambda i: ONEVISION(images=i, return_tensors="np")["pixel_values"][0],
    "smolvlm": lambda i: SMOLVLM(images=[[i]], return_tensors="np")["pixel_values"][0],
    "idefics3": lambda i: IDEFICS(images=[[i]], return_tensors="np")["pixel_values"][0],
    "siglip": lambda i: SIGLIP(images=i, return_tensors="np")["pixel_values"],
    "hd": lambda i: hd_pixels(i, 28, 6)[0][1:].numpy(),
    "letterbox": lambda i: to_pixels(torchvision_resize(letterbox(i), 28)).numpy(),
    "open_clip": lambda i: to_pixels(torchvision_resize(i, 21)).numpy(),
    "xgen": lambda i: xgen.pixels_of(i)[0].numpy(),
    "xgen-1": lambda i: xgen.pixels_of(i, CLIP_MEAN, CLIP_STD)[0].numpy(),
}
DROP_ALPHA = ("hd", "letterbox", "open_clip", "xgen", "xgen-1")  # convert("RGB"); the others put it on white


def pattern(w, h):
    y, x, k = np.mgrid[0:h, 0:w, 0:3]
    return Image.fromarray(((37 * x + 91 * y + 13 * x * y + 57 * k) % 256).astype(np.uint8))


def main():
    pictures = {}
    with open(os.path.join(OUT, "expected.tsv"), encoding="utf-8") as f:
        for line in f:
            name = line.split("\t")[0]
            pictures[name] = Image.open(os.path.join(OUT, name))
    pictures |= {f"{w}x{h}": pattern(w, h) for w, h in SIZES}
    refused = 0
    with open(os.path.join(OUT, "tiled.tsv"), "w", encoding="utf-8") as out:
        for name, image in pictures.items():
            for processor, run in PROCESSORS.items():
                plain = image.convert("RGB") if processor in DROP_ALPHA else convert_to_rgb(image)
                try:
                    pixels = np.ascontiguousarray(run(plain), dtype=np.float32)
                    crc = f"{zlib.crc32(pixels.tobytes()):08x}"
                    tiles = len(pixels)
                except (ValueError, ZeroDivisionError) as e:
                    print(name, processor, e)
                    crc, tiles, refused = "-", 0, refused + 1
                out.write(f"{name}\t{processor}\t{tiles}\t{crc}\n")
    print(len(pictures), "pictures,", len(PROCESSORS), "processors,", refused, "refused")


main()
