"""Small tokenizers of every kind and what the reference library makes of some texts (see requirements.txt).

    python tools/make_tokenizer_golden.py            from the top of the tree

Writes tests/golden/tokenizers/NAME.json (or .model) and NAME.jsonl: {"text", "ids", "plain", "back", "back_plain"}
are the text, its ids with and without special tokens, and those ids as text with and without special tokens. The
vocabularies are trained on the documents of this tree.
"""
import glob
import json
import pathlib

import sentencepiece
from compare_tokenizers import Texts
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = pathlib.Path("tests/golden/tokenizers")
MARK = "\u2581"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
CLIP = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def corpus():
    return [pathlib.Path(p).read_text() for p in sorted(glob.glob("*.md") + glob.glob("docs/*.md"))]


def train(tokenizer, size, special, alphabet=True, **options):
    letters = pre_tokenizers.ByteLevel.alphabet() if alphabet else [MARK]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False, initial_alphabet=letters,
                                  limit_alphabet=300, **options)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def byte_level():  # GPT-2's expression, added tokens with every flag (Qwen2, GPT-2, Yi)
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    train(t, 500, ["<|endoftext|>"])
    t.add_special_tokens([AddedToken("<image>", lstrip=True, rstrip=True), AddedToken("<|end|>", rstrip=True)])
    t.add_tokens([AddedToken("Tail", single_word=True), AddedToken("<plain>", normalized=False),
                  AddedToken("e\u0301t\u00e9", normalized=True)])
    return t


def split_level():  # Llama-3: a split expression, whole words before merges, begin token by two processors
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    train(t, 500, ["<|begin_of_text|>", "<|eot_id|>"])
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)])])
    return t


def digits():  # SmolLM: digits one by one, then GPT-2's expression with a space in front
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=True)])
    t.decoder = decoders.ByteLevel()
    return train(t, 400, ["<|endoftext|>", "<fake_token_around_image>", "<row_1_col_1>"])


def clip():  # end-of-word marks, lower case, white space collapsed
    t = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "),
                                         normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CLIP), "removed", invert=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.BPEDecoder(suffix="</w>")
    train(t, 700, ["<|startoftext|>", "<|endoftext|>"], end_of_word_suffix="</w>")
    t.post_processor = processors.RobertaProcessing(("<|endoftext|>", 1), ("<|startoftext|>", 0), trim_offsets=False,
                                                    add_prefix_space=False)
    return t


def marked(prepend):  # Llama-2 and Mistral: marks by normalizers, or by Metaspace; bytes where no piece is
    t = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    # trained on words with a mark in front, so that merges stay inside them
    t.pre_tokenizer = pre_tokenizers.Metaspace(MARK, "always")
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    train(t, 620, special, alphabet=False)
    file = json.loads(t.to_str())
    file["added_tokens"] = [token for token in file["added_tokens"] if token["id"] < 3]
    t = Tokenizer.from_str(json.dumps(file))
    if prepend:
        t.pre_tokenizer = None
        t.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    else:
        t.pre_tokenizer = pre_tokenizers.Metaspace(MARK, "first", split=False)
    t.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    t.add_special_tokens([AddedToken("<image>", normalized=False), AddedToken("<|user|>", rstrip=True)])
    t.add_tokens([AddedToken("[INST]", normalized=True)])
    return t


def metaspace():  # words split at marks, another decoder, unknown characters not joined
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Metaspace(MARK, "always")
    t.decoder = decoders.Metaspace(MARK, "always")
    return train(t, 400, ["<unk>"], alphabet=False)


def sentence_piece():
    OUT.joinpath("corpus.txt").write_text("\n".join(corpus()))
    sentencepiece.SentencePieceTrainer.train(
        input=str(OUT / "corpus.txt"), model_prefix=str(OUT / "sentencepiece"), model_type="bpe", vocab_size=600,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2,
        character_coverage=0.9995, user_defined_symbols=["ing the"])
    for name in ("corpus.txt", "sentencepiece.vocab"):
        OUT.joinpath(name).unlink()
    return sentencepiece.SentencePieceProcessor(model_file=str(OUT / "sentencepiece.model"))


def write(name, texts, encode, decode):
    with open(OUT / f"{name}.jsonl", "w") as file:
        for text in texts:
            ids, plain = encode(text, True), encode(text, False)
            line = {"text": text, "ids": ids, "plain": plain, "back": decode(ids, False), "back_plain": decode(ids, True)}
            file.write(json.dumps(line) + "\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    kinds = {"byte_level": byte_level(), "split_level": split_level(), "digits": digits(), "clip": clip(),
             "prepend": marked(True), "metaspace_first": marked(False), "metaspace": metaspace()}
    for name, t in kinds.items():
        OUT.joinpath(f"{name}.json").write_text(t.to_str(pretty=False))
        texts = Texts(seed=7, added=[a.content for a in t.get_added_tokens_decoder().values()]).take(60)
        write(name, texts, lambda text, special: t.encode(text, add_special_tokens=special).ids,
              lambda ids, plain: t.decode(ids, skip_special_tokens=plain))
    sp = sentence_piece()
    texts = Texts(seed=8, added=["ing the"]).take(60)
    with open(OUT / "sentencepiece.jsonl", "w") as file:
        for text in texts:
            plain = sp.encode(text)
            file.write(json.dumps({"text": text, "ids": [sp.bos_id()] + plain, "plain": plain, "back_plain": sp.decode(plain)}) + "\n")


if __name__ == "__main__":
    main()
