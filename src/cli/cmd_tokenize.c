/* tapetum tokenize: {"text": ...} lines to {"ids": [...]} lines, and back. */
#include "base/file.h"
#include "cli/commands.h"
#include "format/json.h"
#include "model/model.h"

#include <string.h>

enum { INPUT_LIMIT_BYTES = 1 << 30 };

static tap_status put_ids(const tap_tokenizer *tokenizer, const char *text,
                          size_t n_bytes, const tap_cli *cli, tap_error *err)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    TAP_TRY(tap_tokenizer_encode(&ids, &n_ids, tokenizer, text, n_bytes,
                                 !tap_args_flag(cli->args, "no-special"), err));
    tap_status status = TAP_OK;
    json_t *list = cli->json ? json_array() : NULL;
    for (size_t i = 0; i < n_ids; i++) {
        if (cli->json && json_array_append_new(list, json_integer(ids[i])) != 0)
            TAP_TRY_OUT(TAP_FAIL(err, TAP_ENOMEM, "no memory left for %zu ids", n_ids));
        if (!cli->json)
            printf("%s%d", i ? " " : "", ids[i]);
    }
    if (cli->json)
        status = tap_cli_put_json(json_pack("{s:O}", "ids", list), err);
    else
        putchar('\n');
out:
    json_decref(list);
    tap_free(ids);
    return status;
}

static tap_status put_text(const tap_tokenizer *tokenizer, const json_t *list,
                           const tap_cli *cli, tap_error *err)
{
    const size_t n_ids = json_array_size(list);
    int32_t *ids = NULL;
    char *text = NULL;
    size_t n_bytes = 0;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&ids, n_ids, sizeof *ids, "token ids", err));
    for (size_t i = 0; i < n_ids; i++) {
        const json_int_t id = json_integer_value(json_array_get(list, i));
        if (!json_is_integer(json_array_get(list, i)) || id < 0 ||
            id >= tap_tokenizer_size(tokenizer))
            TAP_TRY_OUT(TAP_FAIL(err, TAP_EFORMAT,
                                 "entry %zu of \"ids\" is not a token id between 0 and "
                                 "%d",
                                 i, tap_tokenizer_size(tokenizer) - 1));
        ids[i] = (int32_t)id;
    }
    TAP_TRY_OUT(tap_tokenizer_decode(&text, &n_bytes, tokenizer, ids, n_ids,
                                     tap_args_flag(cli->args, "no-special"), err));
    if (cli->json)
        status = tap_cli_put_json(
            json_pack("{s:o}", "text", json_stringn(text, n_bytes)), err);
    else
        puts(text);
out:
    tap_free(ids);
    tap_free(text);
    return status;
}

static tap_status put_line(const tap_tokenizer *tokenizer, const char *line,
                           size_t n_bytes, int64_t number, const tap_cli *cli,
                           tap_error *err)
{
    const bool decode = tap_args_flag(cli->args, "decode");
    json_t *object = NULL;
    tap_status status = tap_json_parse(&object, line, n_bytes, "standard input", err);
    const json_t *text = json_object_get(object, "text"),
                 *ids = json_object_get(object, "ids");
    if (status == TAP_OK && !(decode ? json_is_array(ids) : json_is_string(text)))
        status = TAP_FAIL(err, TAP_EFORMAT, "no \"%s\" in the object; expected %s",
                          decode ? "ids" : "text",
                          decode ? "{\"ids\": [...]}" : "{\"text\": \"...\"}");
    if (status == TAP_OK)
        status = decode ? put_text(tokenizer, ids, cli, err)
                        : put_ids(tokenizer, json_string_value(text),
                                  json_string_length(text), cli, err);
    json_decref(object);
    if (status != TAP_OK)
        return tap_wrap(err, status, "line %lld of standard input", (long long)number);
    return TAP_OK;
}

/* Of a model directory with the words that the model's own code adds. */
static tap_status open_tokenizer(tap_tokenizer **out, const char *path,
                                 const tap_cli *cli, tap_error *err)
{
    tap_spec spec;
    tap_error why;
    TAP_TRY(tap_tokenizer_open(out, path, err));
    if (!tap_file_is_directory(path))
        return TAP_OK;
    if (tap_spec_read(&spec, path, &why) == TAP_OK)
        return tap_model_add_words(*out, &spec, err);
    tap_cli_note(cli, "words that a model's own code may add are not known: %s",
                 why.message);
    return TAP_OK;
}

tap_status tap_cmd_tokenize(tap_cli *cli, tap_error *err)
{
    char *path = NULL, *input = NULL;
    size_t n_bytes = 0;
    tap_tokenizer *tokenizer = NULL;
    tap_status status = tap_cli_model(&path, cli, 0, err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(open_tokenizer(&tokenizer, path, cli, err));
    TAP_TRY_OUT(tap_file_read(&input, &n_bytes, "-", INPUT_LIMIT_BYTES, err));
    int64_t number = 0;
    for (size_t at = 0; at < n_bytes;) {
        const char *end = memchr(input + at, '\n', n_bytes - at);
        const size_t n = end ? (size_t)(end - input) - at : n_bytes - at;
        number++;
        if (n > 0)
            TAP_TRY_OUT(put_line(tokenizer, input + at, n, number, cli, err));
        at += n + 1;
    }
out:
    tap_tokenizer_close(tokenizer);
    tap_free(input);
    tap_free(path);
    return status;
}
