"""Random Unicode text through `tapetum tokenize` and the reference library (tokenizers; see requirements.txt).

    python tools/compare_tokenizers.py build/release/tapetum path/to/tokenizer.json [cases] [seed]

Prints how many texts were compared and the first that differ; exit status 1 if any does.
"""
import json
import random
import subprocess
import sys

from tokenizers import Tokenizer

POOLS = ["abcdefghij ", "  \t\n\r", "0123456789.,;:!?'\"-_/\\", "ÄÖÜßéèñçøå", "你好世界日本語", "😀🎉👩‍👩‍👧‍👦🇩🇪", "עבריתالعربية",
         "\u0301\u0308\u200d\ufeff\u00a0\u3000\u2581", "<s></s><unk><image>|user|"]


def text(rng):
    out = []
    for _ in range(rng.randint(0, 12)):
        pool = rng.choice(POOLS)
        if rng.random() < 0.15:
            out.append(rng.choice(["<s>", "</s>", "<unk>", "<image>", "<|user|>", "<|end|>", "<|assistant|>", " the", " tail"]))
        elif rng.random() < 0.05:
            out.append(chr(rng.choice([rng.randint(1, 0xD7FF), rng.randint(0xE000, 0x10FFFF)])))
        else:
            out.append("".join(rng.choice(pool) for _ in range(rng.randint(1, 6))))
    return "".join(out)


def main():
    command, path = sys.argv[1:3]
    cases = int(sys.argv[3]) if len(sys.argv) > 3 else 3000
    rng = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    texts = [text(rng) for _ in range(cases)]
    lines = "".join(json.dumps({"text": t}) + "\n" for t in texts)
    done = subprocess.run([command, "tokenize", path, "--json"], input=lines, capture_output=True, text=True, check=True)
    ours = [json.loads(line)["ids"] for line in done.stdout.splitlines()]
    reference = Tokenizer.from_file(path)
    wrong = [(t, a, reference.encode(t).ids) for t, a in zip(texts, ours) if a != reference.encode(t).ids]
    print(f"{len(texts)} texts compared, {len(wrong)} differ")
    for t, a, b in wrong[:5]:
        print(repr(t), a, b, sep="\n  ")
    sys.exit(1 if wrong or len(ours) != len(texts) else 0)


main()
