/* tapetum items: every part of a data set, excluded ones too. */
#include "cli/commands.h"
#include "cli/reading.h"

#include <stdlib.h>
#include <string.h>

/* Ids are numbers in most formats; "007" and what does not fit stay text. */
static json_t *id_json(const char *id)
{
    char again[24];
    if (!id)
        return json_null();
    const long long number = strtoll(id, NULL, 10);
    snprintf(again, sizeof again, "%lld", number);
    return strcmp(again, id) == 0 ? json_integer(number) : tap_cli_json_text(id);
}

static tap_status put_part(const tap_cli *cli, const char *image,
                           const tap_items *items, const tap_part *part, tap_error *err)
{
    const tap_object *object = &items->objects[part->object];
    if (!cli->json) {
        const char *const cells[] = {image, object->id, object->name, part->name,
                                     part->label};
        for (size_t c = 0; c < sizeof cells / sizeof *cells; c++)
            tap_cli_put_cell(cells[c], '\t');
        printf("%lld\t", (long long)part->area_px);
        tap_cli_put_cell(part->excluded, '\n');
        return TAP_OK;
    }
    return tap_cli_put_json(
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "image",
                  tap_cli_json_text(image), "object_id", id_json(object->id), "object",
                  tap_cli_json_text(object->name), "part",
                  tap_cli_json_text(part->name), "label",
                  tap_cli_json_text(part->label), "area_px", (json_int_t)part->area_px,
                  "excluded",
                  part->excluded ? tap_cli_json_text(part->excluded) : json_null()),
        err);
}

static tap_status put_items(void *owner, const char *image, const tap_items *items,
                            tap_error *err)
{
    for (size_t p = 0; p < items->n_parts; p++)
        TAP_TRY(put_part(owner, image, items, &items->parts[p], err));
    return TAP_OK;
}

tap_status tap_cmd_items(tap_cli *cli, tap_error *err)
{
    tap_experiment experiment = {0};
    TAP_TRY(
        tap_experiment_read_data(&experiment, tap_args_argument(cli->args, 0), err));
    if (!cli->json)
        printf("image\tobject_id\tobject\tpart\tlabel\tarea_px\texcluded\n");
    const tap_status status =
        tap_cli_read_items(cli, &experiment.data, put_items, cli, err);
    tap_experiment_clear(&experiment);
    return status;
}
