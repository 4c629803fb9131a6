"""A Llama-2 style tokenizer trained on the captions: BPE with byte fallback, "▁" for spaces, <image> and <pad> at the end.

Ids: 0 <unk>, 1 <s>, 2 </s>, 3..258 bytes, then pieces in merge order, then single characters, then <image>, <pad>.
Every word of scenes.all_words() is one piece after a space.
"""
import json
import os

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import scenes

BARE = "what where is which how does who describe".split()   # words that may follow the newline after <image>


def corpus():
    rng = np.random.default_rng(77)
    for i in range(400):
        _, _, _, sc = scenes.make(i, "train")
        for word in (False, True):
            yield scenes.caption(sc, rng, word)
            for _, q, a in scenes.questions(sc, rng, 8, word, scenes.WORD_TYPES):
                yield f"USER: {q} ASSISTANT: {a}"
    for w in scenes.all_words():
        yield f"the {w}"


def split(text, rank, used=None):
    """Pieces of a text under merges {(a, b): rank}; the merges applied are added to `used`."""
    p = list(text)
    while True:
        best = min(((rank[p[i], p[i + 1]], i) for i in range(len(p) - 1) if (p[i], p[i + 1]) in rank), default=None)
        if best is None:
            return p
        i = best[1]
        if used is not None:
            used.add((p[i], p[i + 1]))
        p[i:i + 2] = [p[i] + p[i + 1]]


def train(path):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # Only while training: merges never cross a space or a punctuation mark.
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("▁", "merged_with_next"), pre_tokenizers.Split(pattern="?", behavior="isolated"),
        pre_tokenizers.Split(".", "isolated"), pre_tokenizers.Split(",", "isolated"), pre_tokenizers.Split(":", "isolated")])
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=4000, min_frequency=1, show_progress=False))
    m = json.loads(t.to_str())["model"]
    merges = [tuple(x) if isinstance(x, list) else tuple(x.split(" ")) for x in m["merges"]]
    words = {"▁" + w for w in scenes.all_words()}
    # Words that follow the newline have no "▁": give each a chain of merges of its own where the training gave none.
    for w in BARE:
        p = split(w, {m: i for i, m in enumerate(merges)})
        while len(p) > 1:
            merges.append((p[0], p[1]))
            p[:2] = [p[0] + p[1]]
    # Drop pieces that no word's own derivation uses.
    rank = {p: i for i, p in enumerate(merges)}
    used = set()
    for w in list(words) + BARE:
        split(w, rank, used)
    merges = [x for x in merges if x in used]
    chars = sorted(set("".join(words)) | set(".,?:▁"))
    vocab = {}
    for s in ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)] + [a + b for a, b in merges] + chars:
        vocab.setdefault(s, len(vocab))
    out = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    out.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    out.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    out.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                     decoders.Strip(" ", 1, 0)])
    out.add_special_tokens([AddedToken(s, normalized=False, special=True)
                            for s in ("<unk>", "<s>", "</s>", "<image>", "<pad>")])
    for w in scenes.all_words():
        assert out.encode(w, add_special_tokens=False).tokens == ["▁" + w], (w, out.encode(w).tokens)
    for w in BARE:
        assert out.encode("\n" + w, add_special_tokens=False).tokens == ["▁", "<0x0A>", w], out.encode("\n" + w).tokens
    out.save(path)
    return out


class Words:
    """Fast word-level encoder that gives the same ids as the tokenizer on the texts of this recipe."""

    def __init__(self, work):
        self.tok = Tokenizer.from_file(os.path.join(work, "tokenizer.json"))
        self.vocab = self.tok.get_vocab()
        self.image, self.pad = self.vocab["<image>"], self.vocab["<pad>"]
        self.size = -(-len(self.vocab) // 64) * 64
        self.label = np.array([self.vocab["▁" + w] for w in scenes.LABELS])
        self.texture = np.array([self.vocab["▁" + w] for w in scenes.TEXTURES])
        self.head = [1, self.vocab["▁USER"], self.vocab[":"], self.vocab["▁"]]

    def word(self, w):
        return self.vocab["▁" + w]

    def text(self, s):
        """Ids of a text that starts after a space (no leading <s>)."""
        v, out = self.vocab, []
        for w in s.split(" "):
            end = w[-1]
            if end in ".,?:":
                out += [v["▁" + w[:-1]], v[end]]
            else:
                out.append(v["▁" + w])
        return out

    def turns(self, pairs, bare):
        """Ids and loss flags of question-answer turns after the image: "\\nq ASSISTANT: a</s>USER: q ASSISTANT: a</s>"."""
        ids, flag = [], []
        for i, (q, a) in enumerate(pairs):
            if i == 0:
                p = self.text(q)
                if not bare:
                    first, rest = q.split(" ", 1)
                    p = [self.vocab["▁"], self.vocab["<0x0A>"], self.vocab[first]] + self.text(rest)
            else:
                p = self.text("USER: " + q)
            p += self.text("ASSISTANT:")
            t = self.text(a) + [2]
            ids += p + t
            flag += [0] * len(p) + [1] * len(t)
        return ids, flag


if __name__ == "__main__":
    import sys
    t = train(os.path.join(sys.argv[1], "tokenizer.json"))
    w = Words(sys.argv[1])
    rng = np.random.default_rng(0)
    for i in range(100):
        _, _, _, sc = scenes.make(i, "train")
        for word in (False, True):
            pairs = [("describe the scene.", scenes.caption(sc, rng, word))]
            pairs += [(q, a) for _, q, a in scenes.questions(sc, rng, 10, word)]
            s = "USER: <image>\n" + "</s>".join(("USER: " if j else "") + f"{q} ASSISTANT: {a}" for j, (q, a) in enumerate(pairs)) + "</s>"
            assert t.encode(s).ids == w.head + [w.image] + w.turns(pairs, False)[0], (t.encode(s).tokens)
    print(len(w.vocab), "ids,", w.size, "rows")
