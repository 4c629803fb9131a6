#include "model/template.h"

#include "base/suggest.h"

#include <assert.h>
#include <string.h>

#define ASSISTANT_OF(who)                                                              \
    "A chat between a curious " who " and an artificial intelligence assistant. The "  \
    "assistant gives helpful, detailed, and polite answers to the " who                \
    "'s questions."

#define VISION_ASSISTANT                                                               \
    "You are a helpful language and vision assistant. You are able to understand the " \
    "visual content that the user provides, and assist the user with a variety of "    \
    "tasks using natural language."

/* Sources: chat templates of the checkpoints (llava-hf/llava-1.5-7b-hf,
 * llava-v1.6-mistral-7b-hf, llava-v1.6-34b-hf, llava-onevision-qwen2-7b-ov-hf,
 * meta-llama/Meta-Llama-3-8B-Instruct, Qwen/Qwen2-7B-Instruct,
 * microsoft/Phi-3-vision-128k-instruct, HuggingFaceTB/SmolVLM-256M-Instruct); conversation.py
 * of haotian-liu/LLaVA (vicuna_v1, llava_v1), convert_llava_next_weights_to_hf.py of
 * transformers (llava-llama-3), the prompters of TRI-ML/prismatic-vlms, and the
 * example of Salesforce/xgen-mm-phi3-mini-instruct-r-v1. */
const tap_template tap_templates[] = {
    {"plain", "{image}{text}", "<image>\n", NULL, NULL},
    {"llava-1.5", "USER: {image}{text} ASSISTANT:", "<image>\n", NULL, NULL},
    {"vicuna_v1", ASSISTANT_OF("user") " USER: {image}{text} ASSISTANT:", "<image>\n",
     NULL, NULL},
    {"llava_v1", ASSISTANT_OF("human") " USER: {image}{text} ASSISTANT:", "<image>\n",
     NULL, NULL},
    {"llama-2", "[INST] {image}{text} [/INST]", "<image>\n", NULL, NULL},
    {"mistral", "[INST] {image}{text} [/INST]", "<image>\n", NULL, NULL},
    {"llama-3",
     "<|start_header_id|>user<|end_header_id|>\n\n{image}{text}<|eot_id|>"
     "<|start_header_id|>assistant<|end_header_id|>\n\n",
     "<image>\n", NULL, "<|eot_id|>"},
    {"llava-llama-3",
     "<|start_header_id|>system<|end_header_id|>\n\n" VISION_ASSISTANT
     "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{image}{text}<|eot_id|>"
     "<|start_header_id|>assistant<|end_header_id|>\n\n",
     "<image>\n", NULL, "<|eot_id|>"},
    {"chatml", "<|im_start|>user\n{image}{text}<|im_end|>\n<|im_start|>assistant\n",
     "<image>\n", NULL, "<|im_end|>"},
    {"qwen2",
     "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
     "{image}{text}<|im_end|>\n<|im_start|>assistant\n",
     "<image>\n", NULL, "<|im_end|>"},
    {"yi",
     "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n{image}"
     "{text}<|im_end|><|im_start|>assistant\n",
     "<image>\n", NULL, "<|im_end|>"},
    {"llava-onevision",
     "<|im_start|>user {image}{text}<|im_end|><|im_start|>assistant\n", "<image>\n",
     "\n", "<|im_end|>"},
    {"phi-3", "<|user|>\n{image}{text}<|end|>\n<|assistant|>\n", "<image>\n", NULL,
     "<|end|>"},
    {"xgen",
     "<|system|>\n" ASSISTANT_OF("user") "<|end|>\n<|user|>\n{image}{text}<|end|>\n"
                                         "<|assistant|>\n",
     "<image>\n", NULL, "<|end|>"},
    {"smolvlm", "<|im_start|>User:{image}{text}<end_of_utterance>\nAssistant:",
     "<image>", " ", "<end_of_utterance>"},
    {"prismatic", "{image}" ASSISTANT_OF("user") " USER: {text} ASSISTANT:", "<image>",
     NULL, NULL},
    {"prismatic-pure", "{image}In: {text}\nOut:", "<image>", NULL, NULL},
    /* <<SYS> as the models were trained */
    {"prismatic-llama-2",
     "{image}[INST] <<SYS>\n" VISION_ASSISTANT "\n<</SYS>>\n\n{text} [/INST]",
     "<image>", NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

tap_status tap_template_get(const tap_template **out, const char *name, tap_error *err)
{
    const char *names[sizeof tap_templates / sizeof *tap_templates];
    tap_buffer list = {0};
    size_t n = 0;
    for (const tap_template *t = tap_templates; t->name; t++) {
        if (strcmp(t->name, name) == 0) {
            tap_buffer_clear(&list);
            *out = t;
            return TAP_OK;
        }
        names[n] = t->name;
        TAP_TRY(tap_buffer_print(&list, err, "%s%s", n++ ? ", " : "", t->name));
    }
    const char *near = tap_suggest(name, names, n);
    const tap_status status =
        near ? TAP_FAIL(err, TAP_EINVAL,
                        "no template is called '%.60s'; did you mean "
                        "'%s'?",
                        name, near)
             : TAP_FAIL(err, TAP_EINVAL, "no template is called '%.60s'; there are %s",
                        name, list.text);
    tap_buffer_clear(&list);
    return status;
}

tap_status tap_template_put(char **out, const tap_template *t, const char *question,
                            bool with_image, tap_error *err)
{
    const char *image = strstr(t->pattern, "{image}"),
               *text = strstr(t->pattern, "{text}");
    assert(image && text && image < text);
    const char *mark = !with_image                           ? t->no_image
                       : strstr(question, "<image>") != NULL ? NULL
                                                             : t->image;
    const char *between = image + strlen("{image}");
    return tap_text_format(out, err, "%.*s%s%.*s%s%s", (int)(image - t->pattern),
                           t->pattern, mark ? mark : "", (int)(text - between), between,
                           question, text + strlen("{text}"));
}
