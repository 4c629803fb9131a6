/* tapetum items: every part of a data set, excluded ones too. */
#include "cli/commands.h"
#include "lab/dataset.h"

#include <stdlib.h>

static tap_status put_part(const tap_cli *cli, const char *image,
                           const tap_items *items, const tap_part *part, tap_error *err)
{
    const tap_object *object = &items->objects[part->object];
    if (!cli->json) {
        printf("%s\t%s\t%s\t%s\t%s\t%lld\t%s\n", image, object->id ? object->id : "",
               object->name, part->name, part->label, (long long)part->area_px,
               part->excluded ? part->excluded : "");
        return TAP_OK;
    }
    /* Pascal-Part's ids are numbers: the place of the object in its file */
    json_t *id = json_null();
    char *end = NULL;
    if (object->id) {
        const long long number = strtoll(object->id, &end, 10);
        id = *end == '\0' ? json_integer(number) : tap_cli_json_text(object->id);
    }
    return tap_cli_put_json(
        json_pack(
            "{s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "image", tap_cli_json_text(image),
            "object_id", id, "object", tap_cli_json_text(object->name), "part",
            tap_cli_json_text(part->name), "label", tap_cli_json_text(part->label),
            "area_px", (json_int_t)part->area_px, "excluded",
            part->excluded ? tap_cli_json_text(part->excluded) : json_null()),
        err);
}

tap_status tap_cmd_items(tap_cli *cli, tap_error *err)
{
    tap_experiment experiment = {0};
    tap_dataset *dataset = NULL;
    tap_status status =
        tap_experiment_read_data(&experiment, tap_args_argument(cli->args, 0), err);
    if (status != TAP_OK)
        return status;
    int64_t n_faults = 0;
    TAP_TRY_OUT(tap_dataset_open(&dataset, &experiment.data, NULL, err));
    if (!cli->json)
        printf("image\tobject_id\tobject\tpart\tlabel\tarea_px\texcluded\n");
    for (int64_t i = 0; i < tap_dataset_count(dataset); i++) {
        tap_items items = {0};
        tap_error fault;
        const tap_status read = tap_dataset_read(&items, dataset, i, &fault);
        if (read == TAP_ENOMEM)
            TAP_TRY_OUT(TAP_FAIL(err, read, "%s", fault.message));
        if (read != TAP_OK) { /* one bad file does not hide the others */
            tap_cli_warn(cli, "tapetum: %s", fault.message);
            n_faults++;
            continue;
        }
        for (size_t p = 0; p < items.n_parts && status == TAP_OK; p++)
            status = put_part(cli, tap_dataset_name(dataset, i), &items,
                              &items.parts[p], err);
        tap_items_clear(&items);
        if (status != TAP_OK)
            goto out;
    }
    if (n_faults > 0)
        status = TAP_FAIL(err, TAP_EFORMAT,
                          "%lld of %lld annotations could not be read; see above",
                          (long long)n_faults, (long long)tap_dataset_count(dataset));
out:
    tap_dataset_close(dataset);
    tap_experiment_clear(&experiment);
    return status;
}
