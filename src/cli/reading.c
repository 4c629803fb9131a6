#include "cli/reading.h"

static void put_bytes(void *owner, size_t done_bytes, size_t n_bytes)
{
    tap_meter *m = owner;
    if (!m->begun)
        tap_progress_init(&m->progress, m->cli, "MB", (int64_t)(n_bytes >> 20), 0);
    m->begun = true;
    tap_progress_put(&m->progress, (int64_t)(done_bytes >> 20));
}

tap_dataset_progress tap_meter_begin(tap_meter *meter, const tap_cli *cli)
{
    *meter = (tap_meter){.cli = cli};
    return (tap_dataset_progress){.put = put_bytes, .owner = meter};
}

void tap_meter_end(tap_meter *meter)
{
    if (meter->begun)
        tap_progress_clear(&meter->progress);
    meter->begun = false;
}

/* Sums over the images read. */
typedef struct totals {
    int64_t n_items, n_excluded, n_joined, n_faults;
} totals;

static void add(totals *t, const tap_items *items)
{
    t->n_items += (int64_t)items->n_parts;
    t->n_joined += (int64_t)items->n_joined;
    for (size_t p = 0; p < items->n_parts; p++)
        t->n_excluded += items->parts[p].excluded != NULL;
}

tap_status tap_cli_read_items(const tap_cli *cli, const tap_data_spec *spec,
                              tap_status (*put)(void *owner, const char *image,
                                                const tap_items *items, tap_error *err),
                              void *owner, tap_error *err)
{
    tap_dataset *dataset = NULL;
    tap_meter meter;
    tap_progress progress;
    totals t = {0};
    const tap_dataset_progress reading = tap_meter_begin(&meter, cli);
    tap_status status = tap_dataset_open(&dataset, spec, &reading, err);
    tap_meter_end(&meter);
    if (status != TAP_OK)
        return status;
    const int64_t n = tap_dataset_count(dataset);
    tap_progress_init(&progress, cli, "images", n, 0);
    for (int64_t i = 0; i < n; i++) {
        tap_items items = {0};
        tap_error fault;
        const tap_status read = tap_dataset_read(&items, dataset, i, &fault);
        if (read == TAP_ENOMEM)
            TAP_TRY_OUT(TAP_FAIL(err, read, "%s", fault.message));
        if (read != TAP_OK) {
            tap_progress_clear(&progress);
            tap_cli_warn(cli, "%s", fault.message);
            t.n_faults++;
            continue;
        }
        add(&t, &items);
        status = put(owner, tap_dataset_name(dataset, i), &items, err);
        tap_items_clear(&items);
        if (status != TAP_OK)
            goto out;
        tap_progress_put(&progress, i + 1);
    }
    tap_progress_clear(&progress);
    tap_cli_note(cli, "%lld items in %lld images: %lld to score, %lld excluded",
                 (long long)t.n_items, (long long)n,
                 (long long)(t.n_items - t.n_excluded), (long long)t.n_excluded);
    if (t.n_joined > 0)
        tap_cli_note(cli, "%lld more annotated parts were joined into these",
                     (long long)t.n_joined);
    if (t.n_faults > 0)
        status = TAP_FAIL(err, TAP_EFORMAT,
                          "%lld of %lld annotations could not be read; see above",
                          (long long)t.n_faults, (long long)n);
out:
    tap_progress_clear(&progress);
    tap_dataset_close(dataset);
    return status;
}
