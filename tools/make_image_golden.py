"""Small pictures of every kind and what the reference makes of them: tests/golden/image.

Pillow decodes, CLIPImageProcessor (PIL backend) of transformers turns them into pixels. Versions: requirements.txt.
Writes the pictures and expected.tsv: file, CRC-32 of the RGB bytes after alpha is composited on white, then CRC-32 of the
f32 pixels for crop and for pad to 56 px.
"""
import os
import zlib

import numpy as np
from PIL import Image
from transformers import CLIPImageProcessor
from transformers.image_transforms import convert_to_rgb

OUT = os.path.join(os.path.dirname(__file__), "..", "tests", "golden", "image")


def pattern(w, h, c):
    y, x, k = np.mgrid[0:h, 0:w, 0:c]
    return ((37 * x + 91 * y + 13 * x * y + 57 * k) % 256).astype(np.uint8)


def smooth(w, h):
    y, x = np.mgrid[0:h, 0:w]
    return np.stack([127 + 120 * np.sin(x / 9 + k) * np.cos(y / 7 - k) for k in range(3)], -1).astype(np.uint8)


def main():
    os.makedirs(OUT, exist_ok=True)
    made = {}

    def save(name, image, **options):
        image.save(os.path.join(OUT, name), **options)
        made[name] = None

    save("rgb.png", Image.fromarray(pattern(61, 47, 3)))
    save("rgba.png", Image.fromarray(pattern(40, 33, 4), "RGBA"))
    save("la.png", Image.fromarray(pattern(31, 29, 2), "LA"))
    save("grey.png", Image.fromarray(pattern(33, 20, 1)[..., 0]))
    save("bits1.png", Image.fromarray(pattern(37, 21, 1)[..., 0] > 99))
    save("grey2.png", Image.fromarray(pattern(37, 21, 1)[..., 0]).quantize(4), bits=2)
    save("grey16.png", Image.fromarray((pattern(23, 31, 1)[..., 0].astype(np.uint16) * 3)))
    save("palette.png", Image.fromarray(smooth(50, 41)).quantize(64))
    p = Image.fromarray(smooth(50, 41)).quantize(16)
    save("palette_trns.png", p, transparency=bytes([0, 50, 128, 200] + [255] * 12))
    save("rgb_trns.png", Image.fromarray(pattern(20, 20, 3)), transparency=(0, 57, 114))
    save("grey_trns.png", Image.fromarray(pattern(20, 20, 1)[..., 0]), transparency=37)
    save("tall.png", Image.fromarray(pattern(3, 200, 3)))
    save("wide.png", Image.fromarray(pattern(300, 2, 3)))
    save("one.png", Image.fromarray(pattern(1, 1, 3)))
    save("base.jpg", Image.fromarray(smooth(75, 53)), quality=90)
    save("odd420.jpg", Image.fromarray(smooth(77, 51)), quality=60, subsampling=2)
    save("progressive.jpg", Image.fromarray(smooth(64, 90)), quality=80, progressive=True)
    save("grey.jpg", Image.fromarray(smooth(45, 60)[..., 0]), quality=85)
    save("cmyk.jpg", Image.fromarray(smooth(40, 44)).convert("CMYK"), quality=90)
    exif = Image.Exif()
    exif[0x112] = 6
    save("rotated.jpg", Image.fromarray(smooth(50, 30)), quality=90, exif=exif)

    crop = CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    mean = tuple(int(m * 255) for m in crop.image_mean)
    with open(os.path.join(OUT, "expected.tsv"), "w") as out:
        for name in made:
            image = Image.open(os.path.join(OUT, name))
            rgb = convert_to_rgb(image, return_numpy=True)
            row = [name, f"{rgb.shape[1]}", f"{rgb.shape[0]}", f"{zlib.crc32(rgb.tobytes()):08x}"]
            side = max(rgb.shape[:2])
            square = np.empty((side, side, 3), np.uint8)
            square[:] = mean
            top, left = (side - rgb.shape[0]) // 2, (side - rgb.shape[1]) // 2
            square[top : top + rgb.shape[0], left : left + rgb.shape[1]] = rgb
            for picture in (Image.fromarray(rgb), Image.fromarray(square)):
                pixels = crop(picture, return_tensors="np")["pixel_values"][0].astype(np.float32)
                row.append(f"{zlib.crc32(np.ascontiguousarray(pixels).tobytes()):08x}")
            out.write("\t".join(row) + "\n")


main()
