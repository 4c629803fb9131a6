"""LLaVA-NeXT over four decoders, and LLaVA-OneVision."""

import torch
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers,
                        processors, trainers)
from transformers import (CLIPVisionConfig, LlamaConfig, LlavaNextConfig,
                          LlavaNextForConditionalGeneration, LlavaNextProcessor,
                          LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration,
                          PreTrainedTokenizerFast, Qwen2Config, SiglipVisionConfig)
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil)
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil)

from family_golden.parts import (CLIP_MEAN, CLIP_STD, PROMPT, Parts, expect, generate, load,
                                 newline_roles, save_model, save_processor, tokenizer_of)
from make_llava_golden import CORPUS, fill_weights, make_tokenizer, write_json


def pinpoints(side, rows_cols):
    return [[r * side, c * side] for r, c in rows_cols]


def llava_parts(model, first):
    tower = model.model.vision_tower
    parts = Parts(model, first, tower.encoder.layers, model.model.multi_modal_projector,
                  model.model.language_model.layers,
                  lambda inputs: model(**inputs, use_cache=False).logits,
                  lambda inputs: generate(model, **inputs))
    v = model.config.vision_config
    parts.side = v.image_size // v.patch_size
    return parts


def anyres(name, directory, model, processor, tok, photos, has_cls, n_read, prompt=PROMPT):
    tower = model.model.vision_tower
    parts = llava_parts(model, tower.pre_layrnorm if has_cls else tower.embeddings)
    parts.n_rows = parts.side ** 2 + has_cls
    image_id = tok.token_to_id("<image>")

    def prepare(image):
        batch = processor(image, prompt, return_tensors="pt")
        inputs = {k: batch[k] for k in ("input_ids", "pixel_values", "image_sizes")}
        return batch["input_ids"][0], batch["pixel_values"][0], inputs

    newline = model.model.image_newline

    def roles(ids, image):
        """Image rows that are not the newline vector, found by their values."""
        _, _, inputs = prepare(image)
        with torch.no_grad():
            rows = model.model.get_image_features(
                inputs["pixel_values"], inputs["image_sizes"]).pooler_output[0]
        return newline_roles(lambda i: not torch.equal(rows[i], newline), ids == image_id)

    parts.roles = roles
    expect(name, directory, parts, prepare, image_id, n_read, has_cls, prompt, photos)


def old_next_name(name):
    """Names of the hub's files, written by transformers 4.39."""
    if name.startswith("model.vision_tower."):
        return name.replace("model.vision_tower.", "vision_tower.vision_model.", 1)
    if name.startswith("model.language_model."):
        return name.replace("model.language_model.", "language_model.model.", 1)
    return {"lm_head.weight": "language_model.lm_head.weight"}.get(
        name, name.removeprefix("model."))


def make_next(directory, tok, vocab, photos):
    side, patch = 28, 7
    points = pinpoints(side, [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)])
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
            image_size=side, patch_size=patch, projection_dim=16),
        text_config=LlamaConfig(
            vocab_size=vocab, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512,
            rms_norm_eps=1e-5),
        image_token_index=tok.token_to_id("<image>"), image_grid_pinpoints=points)
    model = LlavaNextForConditionalGeneration(config)
    fill_weights(model, 11)
    config.save_pretrained(directory)
    save_model(model, directory)
    processor = LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side},
            image_grid_pinpoints=points),
        tokenizer=tokenizer_of(tok), patch_size=patch,
        vision_feature_select_strategy="default", num_additional_image_tokens=1)
    save_processor(processor, directory)
    model = load(LlavaNextForConditionalGeneration, directory)
    anyres("llava-next", directory, model, processor, tok, photos, True, 2)


def hub_next(name, directory, tok, text, photos, seed, n_shards=1, prompt=PROMPT, words=None):
    """A directory as the hub has it: old names, a processor's file of its own."""
    side, patch = 24, 6
    points = pinpoints(side, [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)])
    write_json(f"{directory}/config.json", {
        "architectures": ["LlavaNextForConditionalGeneration"], "model_type": "llava_next",
        "ignore_index": -100, "image_token_index": tok.token_to_id("<image>"),
        "image_grid_pinpoints": points, "projector_hidden_act": "gelu",
        "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "use_image_newline_parameter": True, "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "text_config": {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
                        "num_attention_heads": 4, "num_key_value_heads": 2,
                        "rms_norm_eps": 1e-5, **text},
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": 24, "intermediate_size": 40,
            "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": side,
            "patch_size": patch, "projection_dim": 16}})
    write_json(f"{directory}/preprocessor_config.json", {
        "image_processor_type": "LlavaNextImageProcessor", "do_resize": True,
        "size": {"shortest_edge": side}, "resample": 3, "do_center_crop": True,
        "crop_size": {"height": side, "width": side}, "do_rescale": True,
        "rescale_factor": 0.00392156862745098, "do_normalize": True, "do_convert_rgb": True,
        "image_grid_pinpoints": points, "do_pad": True, "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD})
    model = LlavaNextForConditionalGeneration(LlavaNextConfig.from_pretrained(directory))
    fill_weights(model, seed)
    save_model(model, directory, old_next_name, shards=n_shards)
    processor = LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side},
            image_grid_pinpoints=points),
        tokenizer=words or tokenizer_of(tok), patch_size=patch,
        vision_feature_select_strategy="default", num_additional_image_tokens=1)
    model = load(LlavaNextForConditionalGeneration, directory)
    anyres(name, directory, model, processor, tok, photos, True, 2, prompt)


def make_next_mistral(directory, tok, vocab, photos):
    """In shards, with other files beside them."""
    for name, text in (("README.md", "A model card.\n"), ("training_args.bin", "no weights"),
                       ("optimizer.pt", "no weights either")):
        with open(f"{directory}/{name}", "w", encoding="utf-8") as f:
            f.write(text)
    hub_next("llava-next-mistral", directory, tok, {
        "model_type": "mistral", "vocab_size": vocab, "max_position_embeddings": 1024,
        "rope_theta": 1000000.0, "sliding_window": None}, photos, 12, n_shards=2)


LLAMA3_WORDS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
                "<|end_header_id|>", "<|eot_id|>", "<image>", "<pad>")
LLAMA3_PROMPT = ("<|start_header_id|>user<|end_header_id|>\n\n<image>\nWhat is the part of this "
                 "animal?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")


def llama3_tokenizer():
    """Llama-3 kind: byte-level BPE over words that an expression cuts out."""
    tok = Tokenizer(models.BPE(ignore_merges=True))
    words = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
                  r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(words, "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(CORPUS.split("\n"), trainers.BpeTrainer(
        vocab_size=340, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True)
                            for t in LLAMA3_WORDS])
    first = tok.token_to_id("<|begin_of_text|>")
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|begin_of_text|> $A",
                                      special_tokens=[("<|begin_of_text|>", first)])])
    return tok


def make_next_llama3(directory, tok, vocab, photos):
    """Of three pairs one turns as ever, one a little slower, one eight times as slow: the scaling
    of Llama-3.1."""
    hub_next("llava-next-llama-3", directory, tok, {
        "model_type": "llama", "vocab_size": vocab, "max_position_embeddings": 8192,
        "rope_theta": 500000.0, "bos_token_id": tok.token_to_id("<|begin_of_text|>"),
        "eos_token_id": tok.token_to_id("<|eot_id|>"), "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 1024}},
        photos, 20, prompt=LLAMA3_PROMPT, words=PreTrainedTokenizerFast(
            tokenizer_object=tok, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>",
            pad_token="<pad>"))


def yi_tokenizer():
    """Yi's puts no token in front."""
    tok = make_tokenizer(("<|im_start|>", "<|im_end|>"))
    tok.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    return tok


YI_PROMPT = ("<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n<image>\nWhat "
             "is the part of this animal?<|im_end|><|im_start|>assistant\n")


def make_next_yi(directory, tok, vocab, photos):
    hub_next("llava-next-yi", directory, tok, {
        "model_type": "llama", "vocab_size": vocab, "max_position_embeddings": 4096,
        "rope_theta": 5000000.0, "eos_token_id": tok.token_to_id("<|im_end|>")},
        photos, 21, prompt=YI_PROMPT)


def make_onevision(directory, tok, vocab, photos):
    """Pixels left over beside the patches (27 = 3 * 8 + 3), a map that is shrunk."""
    side, patch = 27, 8
    points = pinpoints(side, [(r, c) for r in range(1, 5) for c in range(1, 5)])
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(
            hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
            image_size=side, patch_size=patch, vision_use_head=False),
        text_config=Qwen2Config(
            vocab_size=vocab, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
            num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=512,
            rope_theta=1e6, rms_norm_eps=1e-6, tie_word_embeddings=True,
            bos_token_id=1, eos_token_id=2),
        image_token_index=tok.token_to_id("<image>"), image_grid_pinpoints=points,
        vision_aspect_ratio="anyres_max_4", tie_word_embeddings=True)
    model = LlavaOnevisionForConditionalGeneration(config)
    model.tie_weights()
    fill_weights(model, 13)
    config.save_pretrained(directory)
    save_model(model, directory, drop=("lm_head.weight",))
    images = LlavaOnevisionImageProcessorPil(
        size={"height": side, "width": side}, image_grid_pinpoints=points,
        image_mean=[0.5] * 3, image_std=[0.5] * 3)
    images.save_pretrained(directory)
    model = load(LlavaOnevisionForConditionalGeneration, directory)

    def processor(images_, text, return_tensors):
        """LlavaOnevisionProcessor needs torchvision; the model says how many rows it makes."""
        batch = images(images=images_, return_tensors=return_tensors)
        with torch.no_grad():
            rows = model.model.get_image_features(
                batch["pixel_values"], batch["image_sizes"]).pooler_output[0]
        ids = tok.encode(text.replace("<image>", "<image>" * len(rows))).ids
        return {"input_ids": torch.tensor([ids]), "pixel_values": batch["pixel_values"],
                "image_sizes": batch["image_sizes"]}

    anyres("llava-onevision", directory, model, processor, tok, photos, False, 2)
