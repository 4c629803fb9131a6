"""Random Unicode text through `tapetum tokenize` and the reference library (tokenizers; see requirements.txt).

    python tools/compare_tokenizers.py build/release/tapetum tokenizer.json ... [--cases N] [--seed N]

Ids with and without special tokens, and random ids back to text, with and without special tokens. Prints how many were
compared and the first that differ; exit status 1 if any does. Left out are characters whose class or normal form
depends on the version of the Unicode tables: those that this Python does not know (PCRE2 and utf8proc of Debian 12 are
as old), and those with a normal form that the reference's own tables (Unicode 12.0) do not have.
"""
import argparse
import json
import random
import subprocess
import sys
import unicodedata

POOLS = ["abcdefghij ", "ABC tailing the dog's I'LL", "  \t\n\r\v\x85\u2028", "0123456789.,;:!?'\"-_/\\", "²½Ⅷ٣৪",
         "ÄÖÜßéèñçøåİſÆ", "e\u0301a\u0308\u0323\u1100\u1161\u11a8ﬁﬀÅ", "你好世界日本語", "😀🎉👩‍👩‍👧‍👦🇩🇪",
         "עבריתالعربيةहिन्दीไทย", "\u0301\u0308\u200d\ufeff\u00a0\u3000\u2581\u180e\x00\x7f", "<s></s><unk><image>|user|"]

NEWER_FORMS = [range(0x32FF, 0x3300), range(0xA7F2, 0xA7F5), range(0xAB69, 0xAB6A), range(0x10780, 0x107BB),
               range(0x11938, 0x11939), range(0x1FBF0, 0x1FBFA)]


class Texts:
    def __init__(self, seed, added=()):
        self.rng = random.Random(seed)
        self.added = list(added) + [" the", " tail", "Tail", "</w>", "<0x41>"]

    def character(self):
        while True:
            c = chr(self.rng.choice([self.rng.randint(1, 0xD7FF), self.rng.randint(0xE000, 0x10FFFF)]))
            if unicodedata.category(c) not in ("Cn", "Cs") and not any(ord(c) in r for r in NEWER_FORMS):
                return c

    def one(self):
        out = []
        for _ in range(self.rng.randint(0, 12)):
            pool, kind = self.rng.choice(POOLS), self.rng.random()
            if kind < 0.2:
                out.append(self.rng.choice(self.added))
            elif kind < 0.25:
                out.append(self.character())
            else:
                out.append("".join(self.rng.choice(pool) for _ in range(self.rng.randint(1, 6))))
        return "".join(out).replace("\x00", "")

    def take(self, n):
        return [self.one() for _ in range(n)]


def ours(command, path, key, values, *flags):
    lines = "".join(json.dumps({key: v}) + "\n" for v in values)
    done = subprocess.run([command, "tokenize", path, "--json", *flags], input=lines, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{path}: {done.stdout}{done.stderr}")
    return [json.loads(line)["text" if "--decode" in flags else "ids"] for line in done.stdout.split("\n")[:-1]]


def main():
    from tokenizers import Tokenizer

    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    failed = False
    for path in args.paths:
        reference = Tokenizer.from_file(path)
        added = reference.get_added_tokens_decoder()
        known = sorted(set(reference.get_vocab(True).values()))
        rng = random.Random(args.seed)
        texts = Texts(args.seed, [a.content for a in added.values()]).take(args.cases)
        ids = [[rng.choice(known) for _ in range(rng.randint(0, 12))] for _ in range(args.cases)]
        checks = [("text", texts, (), lambda t: reference.encode(t).ids),
                  ("text", texts, ("--no-special",), lambda t: reference.encode(t, add_special_tokens=False).ids),
                  ("ids", ids, ("--decode",), lambda i: reference.decode(i, skip_special_tokens=False)),
                  ("ids", ids, ("--decode", "--no-special"), lambda i: reference.decode(i))]
        wrong = []
        for key, values, flags, want in checks:
            found = ours(args.command, path, key, values, *flags)
            wrong += [(flags, v, f, want(v)) for v, f in zip(values, found, strict=True) if f != want(v)]
        print(f"{path}: {args.cases} texts and {args.cases} lists of ids compared, {len(wrong)} differ")
        for flags, value, found, want in wrong[:5]:
            print(" ", *flags, repr(value), f"\n    {found!r}\n    {want!r}")
        failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
