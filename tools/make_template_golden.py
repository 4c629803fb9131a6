"""Chat templates of checkpoints rendered by transformers (see requirements.txt).

    python tools/make_template_golden.py            from the top of the tree

Writes tests/golden/templates.jsonl: name, question, whether an image stands in it, and the text. The begin token is
left empty, because the tokenizer adds it; "<|image_1|>" is written "<image>".
"""
import json

from transformers.utils.chat_template_utils import render_jinja_template

FIRST_IMAGES = ("{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>NL' }}"
                "{% endfor %}")
TEXTS = "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ TEXT }}{% endfor %}"


def parts(image, text):
    return FIRST_IMAGES.replace("NL", image) + TEXTS.replace("TEXT", text)


# As in the checkpoints; what a single turn of a user does not reach is left out.
PARTED = {  # content is a list of images and texts
    "llava-1.5": "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}"
                 "{% endif %}" + parts("\\n", "content['text'] + ' '") +
                 "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
    "mistral": "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' }}" +
               parts("\\n", "content['text']") + "{{' [/INST]'}}{% endif %}{% endfor %}",
    "llava-onevision": "{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}" +
                       parts("", "'\\n' + content['text']") + "{{'<|im_end|>'}}{% endfor %}"
                       "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "smolvlm": "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
               "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
               "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
               "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
               "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
}
PLAIN = {  # content is a text, with "<image>" and a new line in front
    "llama-3": "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + "
               "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
               "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
               "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}",
    "phi-3": "{% for message in messages %}{{'<|' + message['role'] + '|>' + '\n' + message['content'] + '<|end|>\n' }}"
             "{% endfor %}{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}"
             "{{- '<|assistant|>\n' -}}{% endif %}",
    "qwen2": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
             "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
             "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>'"
              " + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama-2": "{% for message in messages %}{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}"
               "{% endfor %}",
}


def render(template, content):
    text, _ = render_jinja_template([[{"role": "user", "content": content}]], chat_template=template,
                                    add_generation_prompt=True, bos_token="", eos_token="</s>")
    return text[0].replace("<|image_1|>", "<image>")


def main():
    with open("tests/golden/templates.jsonl", "w") as file:
        for question in ("What is shown in this image?", "Où est la queue?\nAnswer in one word."):
            for image in (True, False):
                content = [{"type": "image"}] * image + [{"type": "text", "text": question}]
                marked = ("<image>\n" if image else "") + question
                texts = {name: render(t, content) for name, t in PARTED.items()}
                texts |= {name: render(t, marked) for name, t in PLAIN.items()}
                for name, text in texts.items():
                    line = {"template": name, "question": question, "image": image, "text": text}
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
