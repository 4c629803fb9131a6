"""SmolVLM and Idefics3."""

import torch
from transformers import (Idefics3Config, Idefics3ForConditionalGeneration, SmolVLMConfig,
                          SmolVLMForConditionalGeneration)
from transformers.models.idefics3.image_processing_pil_idefics3 import (
    Idefics3ImageProcessorPil)
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from family_golden.parts import PROMPT, Parts, expect, generate, load, save_model
from make_llava_golden import fill_weights, write_json

ROW_COL = [f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)]
TOKENS = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *ROW_COL)


def idefics(name, directory, model, images, tok, photos, per_tile, image_prompt):
    core = model.model
    parts = Parts(model, core.vision_model.embeddings, core.vision_model.encoder.layers,
                  core.connector, core.text_model.layers,
                  lambda inputs: model(**inputs, use_cache=False).logits,
                  lambda inputs: generate(model, **inputs))
    v = model.config.vision_config
    parts.n_rows = (v.image_size // v.patch_size) ** 2
    image_id = tok.token_to_id("<image>")

    def prepare(image):
        batch = images(images=[[image]], return_tensors="pt", return_row_col_info=True)
        text = PROMPT.replace("<image>", image_prompt(batch["rows"][0][0],
                                                      batch["cols"][0][0], per_tile))
        ids = torch.tensor(tok.encode(text).ids)
        inputs = {"input_ids": ids[None], "pixel_values": batch["pixel_values"]}
        return ids, batch["pixel_values"][0], inputs

    expect(name, directory, parts, prepare, image_id, v.num_hidden_layers, False, PROMPT,
           photos)


def make_smolvlm(directory, tok, vocab, photos):
    """As the hub has it: no lm_head in the file, a config that does not say it is tied."""
    side, patch = 32, 8
    write_json(f"{directory}/config.json", {
        "architectures": ["SmolVLMForConditionalGeneration"], "model_type": "smolvlm",
        "image_token_id": tok.token_to_id("<image>"), "scale_factor": 2,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "text_config": {
            "model_type": "llama", "vocab_size": vocab, "hidden_size": 24,
            "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3,
            "num_key_value_heads": 1, "head_dim": 12, "max_position_embeddings": 1024,
            "rms_norm_eps": 1e-5, "rope_theta": 100000.0, "tie_word_embeddings": True},
        "vision_config": {
            "model_type": "smolvlm_vision", "hidden_size": 24, "intermediate_size": 40,
            "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": side,
            "patch_size": patch}})
    config = SmolVLMConfig.from_pretrained(directory)
    model = SmolVLMForConditionalGeneration(config)
    model.tie_weights()
    fill_weights(model, 14)
    save_model(model, directory, drop=("lm_head.weight",))
    images = SmolVLMImageProcessorPil(size={"longest_edge": 4 * side},
                                      max_image_size={"longest_edge": side})
    images.save_pretrained(directory)
    model = load(SmolVLMForConditionalGeneration, directory)
    idefics("smolvlm", directory, model, images, tok, photos, 4,
            lambda rows, cols, n: get_image_prompt_string(
                rows, cols, n, fake_token_around_image="<fake_token_around_image>",
                image_token="<image>", global_image_token="<global-img>"))


def make_idefics3(directory, tok, vocab, photos):
    """One tile: the processor does not split."""
    side, patch = 28, 7
    config = Idefics3Config(
        vision_config=dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2,
                           num_attention_heads=3, image_size=side, patch_size=patch),
        text_config=dict(model_type="llama", vocab_size=vocab, hidden_size=24,
                         intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=256,
                         rms_norm_eps=1e-5),
        scale_factor=2, image_token_id=tok.token_to_id("<image>"))
    model = Idefics3ForConditionalGeneration(config)
    fill_weights(model, 15)
    config.save_pretrained(directory)
    save_model(model, directory)
    images = Idefics3ImageProcessorPil(size={"longest_edge": 2 * side},
                                       max_image_size={"longest_edge": side},
                                       do_image_splitting=False)
    images.save_pretrained(directory)
    model = load(Idefics3ForConditionalGeneration, directory)
    idefics("idefics3", directory, model, images, tok, photos, 4,
            lambda rows, cols, n: "<fake_token_around_image><global-img>" + "<image>" * n +
            "<fake_token_around_image>")
