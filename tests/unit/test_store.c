/* The database: what is written, what is refused, and that a kill changes no row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/planted.h"
#include "../support/scratch.h"
#include "base/file.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[SCRATCH_BYTES];
static char path[SCRATCH_PATH_BYTES];

static int set_up(void **state)
{
    (void)state;
    scratch_open(directory);
    scratch_path(path, directory, "r.db");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(directory);
    return 0;
}

/* All rows of all tables as text. */
static tap_buffer dump(const char *file)
{
    static const char *const TABLES[] = {
        "manifest", "depth", "condition",   "image",     "thumbnail", "patch",
        "item",     "score", "control_set", "control",   "rank",      "receipt",
        "outline",  "token", "top_word",    "label_form"};
    tap_buffer out = {0};
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    for (size_t t = 0; t < sizeof TABLES / sizeof TABLES[0]; t++) {
        char sql[64];
        (void)snprintf(sql, sizeof sql, "SELECT * FROM %s", TABLES[t]);
        sqlite3_stmt *s = NULL;
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
        while (sqlite3_step(s) == SQLITE_ROW) {
            for (int c = 0; c < sqlite3_column_count(s); c++) {
                const size_t n = (size_t)sqlite3_column_bytes(s, c);
                assert_int_equal(tap_buffer_put(&out, "|", 1, NULL), TAP_OK);
                assert_int_equal(
                    tap_buffer_put(&out, sqlite3_column_blob(s, c), n, NULL), TAP_OK);
            }
            assert_int_equal(tap_buffer_put(&out, "\n", 1, NULL), TAP_OK);
        }
        (void)sqlite3_finalize(s);
    }
    (void)sqlite3_close(db);
    return out;
}

static void assert_same_rows(const char *a, const char *b)
{
    tap_buffer left = dump(a), right = dump(b);
    assert_true(left.n_bytes > 1000);
    assert_int_equal(left.n_bytes, right.n_bytes);
    assert_memory_equal(left.text, right.text, left.n_bytes);
    tap_buffer_clear(&left);
    tap_buffer_clear(&right);
}

static int64_t number(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    const int64_t value = sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    return value;
}

static const planted SMALL = {
    .n_images = 3, .n_items = 5, .n_depths = 2, .exclude = true, .beside = true};

static void test_rows(void **state)
{
    (void)state;
    tap_error err = {0};
    if (planted_write(path, &SMALL, &err) != TAP_OK)
        fail_msg("%s", err.message);
    assert_int_equal(scratch_count(directory), 1); /* no log beside it */
    assert_int_equal(number("PRAGMA user_version"), TAP_STORE_VERSION);
    assert_int_equal(number("SELECT COUNT(*) FROM image"), 3);
    assert_int_equal(number("SELECT COUNT(*) FROM item"), 15);
    assert_int_equal(number("SELECT COUNT(*) FROM item WHERE excluded IS NULL"), 13);
    assert_int_equal(number("SELECT COUNT(*) FROM score"), 13 * 4 * 2);
    assert_int_equal(number("SELECT COUNT(*) FROM score WHERE auc_loc IS NULL"), 104);
    assert_int_equal(number("SELECT COUNT(*) FROM result"), 104);
    assert_int_equal(number("SELECT COUNT(*) FROM result_long"), 104 * 5);
    assert_int_equal(number("SELECT SUM(gap * 1000) FROM score WHERE item_id = 0"),
                     8 * 250);
    assert_int_equal(number("SELECT COUNT(*) FROM item WHERE n_candidates = 1024"), 13);
    assert_int_equal(number("SELECT COUNT(*) FROM label_form"), 3);
    assert_int_equal(number("SELECT MAX(id) FROM item"), 200004);
    assert_int_equal(number("SELECT SUM(length(ranks)) FROM rank"), 13 * 4 * 2 * 2 * 4);
    assert_int_equal(number("SELECT n_items FROM exclusion"), 2);
    /* 2 blocks x 2 heads with (h0, h1), (h0, h1'): each block differs from the other */
    assert_int_equal(number("SELECT COUNT(*) FROM receipt WHERE image_id = 0 AND "
                            "condition_id = 0"),
                     3);
    assert_int_equal(
        number(
            "SELECT SUM((last_block - first_block + 1) * (last_head - first_head + 1) "
            "* cut) FROM receipt WHERE image_id = 0 AND condition_id = 0"),
        1);
    assert_int_equal(number("SELECT COUNT(*) FROM pragma_foreign_key_check"), 0);
    assert_int_equal(number("SELECT COUNT(*) FROM pragma_table_info('manifest')"), 3);
}

static void test_values(void **state)
{
    (void)state;
    assert_int_equal(planted_write(path, &SMALL, NULL), TAP_OK);
    tap_store *store = NULL;
    assert_int_equal(tap_store_open_read(&store, path, NULL), TAP_OK);
    sqlite3_stmt *s = NULL;
    assert_int_equal(
        sqlite3_prepare_v2(tap_store_sqlite(store),
                           "SELECT best_rank, ranks FROM score NATURAL JOIN "
                           "rank WHERE item_id = 100002 AND condition_id "
                           "= 3 AND depth = 1",
                           -1, &s, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    assert_true(sqlite3_column_double(s, 0) == planted_scramble(1, 2, 3, 1));
    float ranks[4];
    assert_int_equal(sqlite3_column_bytes(s, 1), sizeof ranks);
    memcpy(ranks, sqlite3_column_blob(s, 1), sizeof ranks);
    assert_true(ranks[2] == (float)planted_scramble(1, 2, 3, 1));
    (void)sqlite3_finalize(s);
    char *value = NULL;
    assert_int_equal(tap_store_query_fact(&value, store, "stats.seed", NULL), TAP_OK);
    assert_string_equal(value, "1");
    tap_free(value);
    assert_int_equal(tap_store_query_fact(&value, store, "none", NULL), TAP_OK);
    assert_null(value);
    assert_int_equal(
        sqlite3_exec(tap_store_sqlite(store), "DELETE FROM item", NULL, NULL, NULL),
        SQLITE_READONLY);
    tap_store_close(store);
}

/* Stopping after whole images, in the middle of one, or by a kill: the same rows. */
static double kill_there(void *owner, int image, int item, int condition, int depth)
{
    (void)owner;
    if (image == 2 && item == 3)
        (void)raise(SIGKILL);
    return planted_scramble(image, item, condition, depth);
}

static double fail_there(void *owner, int image, int item, int condition, int depth)
{
    (void)owner;
    if (image == 1 && item == 3)
        return (double)NAN;
    return planted_scramble(image, item, condition, depth);
}

static void test_resume(void **state)
{
    (void)state;
    char whole[SCRATCH_PATH_BYTES];
    scratch_path(whole, directory, "whole.db");
    planted p = {
        .n_images = 5, .n_items = 6, .n_depths = 3, .exclude = true, .beside = true};
    assert_int_equal(planted_write(whole, &p, NULL), TAP_OK);

    p.stop_after = 1;
    assert_int_equal(planted_write(path, &p, NULL), TAP_OK);
    assert_int_equal(number("SELECT COUNT(*) FROM image"), 1);
    p.stop_after = 0;
    p.rank = fail_there;
    tap_error err = {0};
    assert_int_equal(planted_write(path, &p, &err), TAP_ENUMERIC);
    assert_string_equal(err.message, "the best rank of item 3 of image 1 at depth 0 is "
                                     "nan; ranks are finite and at least 1");
    assert_int_equal(number("SELECT COUNT(*) FROM image"), 1);

    (void)fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        p.rank = kill_there;
        _exit(planted_write(path, &p, NULL) == TAP_OK ? 0 : 1);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
    p.rank = NULL;
    assert_int_equal(planted_write(path, &p, NULL), TAP_OK);
    assert_same_rows(whole, path);
    assert_int_equal(scratch_count(directory), 2);
}

static void test_another_experiment(void **state)
{
    (void)state;
    planted p = SMALL;
    assert_int_equal(planted_write(path, &p, NULL), TAP_OK);
    tap_buffer before = dump(path);
    tap_error err = {0};
    p.threshold = "0.25";
    assert_int_equal(planted_write(path, &p, &err), TAP_EINVAL);
    char message[512];
    (void)snprintf(message, sizeof message,
                   "'%s' holds another experiment (1 difference: patches.threshold: "
                   "'0.5' there, '0.25' here); write to another file, or take back the "
                   "change",
                   path);
    assert_string_equal(err.message, message);
    p.n_depths = 3;
    p.n_candidates = 10;
    assert_int_equal(planted_write(path, &p, &err), TAP_EINVAL);
    (void)snprintf(
        message, sizeof message,
        "'%s' holds another experiment (3 differences: patches.threshold: "
        "'0.5' there, '0.25' here; readout.n_candidates: '1024' there, '10' "
        "here; number of depths: '2' there, '3' here); write to another file, "
        "or take back the change",
        path);
    assert_string_equal(err.message, message);
    tap_buffer after = dump(path);
    assert_string_equal(before.text, after.text);
    tap_buffer_clear(&before);
    tap_buffer_clear(&after);

    /* what stats does with the ranks may change */
    p = SMALL;
    p.bootstrap = "77";
    assert_int_equal(planted_write(path, &p, NULL), TAP_OK);
    assert_int_equal(number("SELECT value FROM manifest WHERE key = 'stats.bootstrap'"),
                     77);
}

static tap_status open_with(const tap_fact *facts, size_t n_facts,
                            const tap_store_condition *conditions, size_t n_conditions,
                            tap_store **store, tap_error *err)
{
    static const int32_t DEPTHS[] = {0, 2};
    const tap_store_spec spec = {.facts = facts,
                                 .n_facts = n_facts,
                                 .conditions = conditions,
                                 .n_conditions = n_conditions,
                                 .depths = DEPTHS,
                                 .n_depths = 2};
    return tap_store_open(store, path, &spec, err);
}

static void test_conditions_by_name(void **state)
{
    (void)state;
    static const tap_fact FACTS[] = {{"a", "1", true}, {"b", "2", true}};
    static const tap_store_condition ONE[] = {{"x", "lm: a", 1}, {"y", "lm: b", 2}};
    static const tap_store_condition TURNED[] = {{"y", "lm: b", 2}, {"x", "lm: a", 1}};
    static const tap_store_condition OTHER[] = {{"y", "lm: c", 2}};
    tap_store *store = NULL;
    tap_error err = {0};
    assert_int_equal(open_with(FACTS, 2, ONE, 2, &store, &err), TAP_OK);
    tap_store_close(store);
    assert_int_equal(open_with(FACTS, 2, TURNED, 2, &store, &err), TAP_OK);
    const tap_store_image image = {.id = 0, .name = "i"};
    const int32_t patch = 3;
    const tap_store_item item = {
        .object = "o", .part = "p", .label = "p", .patches = &patch, .n_patches = 1};
    const float ranks[2] = {4, 5};
    assert_int_equal(tap_store_begin(store, &image, &err), TAP_OK);
    assert_int_equal(tap_store_put_item(store, &item, &err), TAP_OK);
    assert_int_equal(tap_store_put_ranks(store, 0, 0, ranks, 1, &err), TAP_OK);
    const tap_store_control control = {.condition = 1,
                                       .control = TAP_CONTROL_RANDOM_PATCHES,
                                       .seed = 4,
                                       .best_rank = 2.5};
    /* no score without the set that it was read with */
    assert_int_equal(tap_store_put_control(store, 0, &control, &err), TAP_EINVAL);
    const tap_store_control_set set = {.control = TAP_CONTROL_RANDOM_PATCHES,
                                       .seed = 4,
                                       .patches = &patch,
                                       .n_patches = 1,
                                       .label = "p"};
    assert_int_equal(tap_store_put_control_set(store, 0, &set, &err), TAP_OK);
    assert_int_equal(tap_store_put_control(store, 0, &control, &err), TAP_OK);
    const tap_store_control bad = {.control = TAP_CONTROL_WORDS, .best_rank = 0.5};
    assert_int_equal(tap_store_put_control(store, 0, &bad, &err), TAP_ENUMERIC);
    assert_int_equal(tap_store_put_form(store, "p", "two words", -1, 2, &err), TAP_OK);
    assert_int_equal(tap_store_put_form(store, "p", "two words", -1, 2, &err), TAP_OK);
    assert_int_equal(tap_store_commit(store, &err), TAP_OK);
    assert_int_equal(number("SELECT condition_id FROM rank"), 1);
    assert_int_equal(number("SELECT condition_id FROM control"), 0);
    assert_int_equal(number("SELECT COUNT(*) FROM label_form WHERE token_id IS NULL"),
                     1);

    /* the same image twice, another name in its place, too many parts */
    char message[512];
    assert_int_equal(tap_store_begin(store, &image, &err), TAP_EINVAL);
    (void)snprintf(message, sizeof message,
                   "'%s' already holds image 0 or the name 'i': another process writes "
                   "the same images; use --shard and merge",
                   path);
    assert_string_equal(err.message, message);
    bool done = false;
    assert_int_equal(tap_store_find_image(&done, store, 0, "j", &err), TAP_EINVAL);
    (void)snprintf(message, sizeof message,
                   "'%s' has 'i' as image 0, and the data now have 'j' there: the data "
                   "changed; write to another file",
                   path);
    assert_string_equal(err.message, message);
    const tap_store_image second = {.id = 1, .name = "k", .excluded = "not an image"};
    tap_store_item many = item;
    many.ordinal = TAP_STORE_ITEMS_PER_IMAGE;
    assert_int_equal(tap_store_begin(store, &second, &err), TAP_OK);
    assert_int_equal(tap_store_put_item(store, &many, &err), TAP_EINVAL);
    (void)snprintf(message, sizeof message,
                   "cannot store more than 100000 parts of one image in '%s'", path);
    assert_string_equal(err.message, message);
    tap_store_rollback(store);
    tap_store_close(store);
    assert_int_equal(number("SELECT COUNT(*) FROM image"), 1);

    assert_int_equal(open_with(FACTS, 2, OTHER, 1, &store, &err), TAP_EINVAL);
    (void)snprintf(
        message, sizeof message,
        "'%s' holds another experiment (condition 'y' is 'lm: b' there, 'lm: "
        "c' here); write to another file, or take back the change",
        path);
    assert_string_equal(err.message, message);
    static const tap_store_condition UNKNOWN[] = {{"z", "lm: c", 2}};
    assert_int_equal(open_with(FACTS, 2, UNKNOWN, 1, &store, &err), TAP_EINVAL);
    (void)snprintf(message, sizeof message,
                   "'%s' holds another experiment (condition 'z' is absent there, 'lm: "
                   "c' here); write to another file, or take back the change",
                   path);
    assert_string_equal(err.message, message);
    assert_int_equal(open_with(FACTS, 1, ONE, 2, &store, &err), TAP_EINVAL);
    (void)snprintf(message, sizeof message,
                   "'%s' holds another experiment (1 difference: b: '2' there, absent "
                   "here); write to another file, or take back the change",
                   path);
    assert_string_equal(err.message, message);
}

static void test_busy(void **state)
{
    (void)state;
    assert_int_equal(planted_write(path, &SMALL, NULL), TAP_OK);
    tap_store *store = NULL;
    assert_int_equal(tap_store_open_read(&store, path, NULL), TAP_OK);
    tap_store_close(store);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    tap_error err = {0};
    assert_int_equal(tap_store_open_read(&store, path, &err), TAP_EIO);
    char message[512];
    (void)snprintf(
        message, sizeof message,
        "cannot read '%s': another process is using it; wait for it, or write "
        "to another file and merge",
        path);
    assert_string_equal(err.message, message);
    (void)sqlite3_close(db);
}

static void test_foreign_files(void **state)
{
    (void)state;
    tap_store *store = NULL;
    tap_error err = {0};
    char message[512];
    assert_int_equal(tap_store_open_read(&store, path, &err), TAP_EIO);
    (void)snprintf(message, sizeof message, "cannot open '%s': no such file", path);
    assert_string_equal(err.message, message);

    scratch_write_text(
        directory, "r.db",
        "this is a text of a user that must not be touched by anything, "
        "and it is longer than the header of a database, a hundred bytes");
    char *before = NULL, *after = NULL;
    size_t n_before = 0, n_after = 0;
    assert_int_equal(tap_file_read(&before, &n_before, path, 9999, NULL), TAP_OK);
    for (int write = 0; write < 2; write++) {
        assert_int_equal(write ? planted_write(path, &SMALL, &err)
                               : tap_store_open_read(&store, path, &err),
                         TAP_EFORMAT);
        (void)snprintf(message, sizeof message,
                       "cannot read '%s': it is not an intact SQLite database (file is "
                       "not a database)",
                       path);
        assert_string_equal(err.message, message);
    }
    assert_int_equal(tap_file_read(&after, &n_after, path, 9999, NULL), TAP_OK);
    assert_string_equal(before, after);
    tap_free(before);
    tap_free(after);

    (void)remove(path);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t (x)", NULL, NULL, NULL),
                     SQLITE_OK);
    for (int write = 0; write < 2; write++) {
        assert_int_equal(write ? planted_write(path, &SMALL, &err)
                               : tap_store_open_read(&store, path, &err),
                         TAP_EFORMAT);
        (void)snprintf(message, sizeof message,
                       "'%s' is a database, but not one that 'tapetum run' wrote",
                       path);
        assert_string_equal(err.message, message);
    }
    (void)sqlite3_close(db);
    assert_int_equal(number("SELECT COUNT(*) FROM sqlite_master"), 1);

    (void)remove(path);
    assert_int_equal(planted_write(path, &SMALL, NULL), TAP_OK);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 2", NULL, NULL, NULL),
                     SQLITE_OK);
    (void)sqlite3_close(db);
    assert_int_equal(planted_write(path, &SMALL, &err), TAP_EFORMAT);
    (void)snprintf(
        message, sizeof message,
        "'%s' has schema version 2, and this tapetum reads version 3; use the "
        "tapetum that wrote it",
        path);
    assert_string_equal(err.message, message);
}

static void test_unwritable(void **state)
{
    (void)state;
    tap_error err = {0};
    char where[SCRATCH_PATH_BYTES], message[512];
    scratch_path(where, directory, "none/r.db");
    assert_int_equal(planted_write(where, &SMALL, &err), TAP_EIO);
    (void)snprintf(message, sizeof message,
                   "cannot open '%s': unable to open database file", where);
    assert_string_equal(err.message, message);
}

/* Every table and column that exists is described, and nothing else. */
static void test_schema_page(void **state)
{
    (void)state;
    char *page = NULL;
    size_t n_bytes = 0;
    assert_int_equal(tap_file_read(&page, &n_bytes, "docs/schema.md", 1 << 20, NULL),
                     TAP_OK);
    assert_int_equal(planted_write(path, &SMALL, NULL), TAP_OK);
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(
            db,
            "SELECT m.name, p.name FROM sqlite_master m, "
            "pragma_table_info(m.name) p WHERE m.type IN ('table', 'view')",
            -1, &s, NULL),
        SQLITE_OK);
    int64_t n = 0;
    while (sqlite3_step(s) == SQLITE_ROW) {
        const char *table = (const char *)sqlite3_column_text(s, 0);
        const char *column = (const char *)sqlite3_column_text(s, 1);
        char heading[80], entry[80];
        (void)snprintf(heading, sizeof heading, "\n## %s\n", table);
        (void)snprintf(entry, sizeof entry, "\n| `%s` |", column);
        const char *section = strstr(page, heading);
        if (!section)
            fail_msg("docs/schema.md has no section %s", table);
        const char *end = strstr(section + 1, "\n## ");
        const char *found = strstr(section, entry);
        if (!found || (end && found > end))
            fail_msg("docs/schema.md does not describe %s.%s", table, column);
        n++;
    }
    int64_t described = 0;
    for (const char *at = page; (at = strstr(at, "\n| `")); at++)
        described++;
    assert_int_equal(described, n);
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    tap_free(page);
}

static void test_memory(void **state)
{
    (void)state;
    tap_error err = {0};
    for (int64_t n = 1;; n++) {
        (void)tap_memory_fail_at(n);
        const tap_status status = planted_write(path, &SMALL, &err);
        (void)tap_memory_fail_at(0);
        if (status == TAP_OK)
            break;
        assert_int_equal(status, TAP_ENOMEM);
    }
    assert_int_equal(number("SELECT COUNT(*) FROM image"), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rows),
        TEST(test_values),
        TEST(test_resume),
        TEST(test_another_experiment),
        TEST(test_conditions_by_name),
        TEST(test_foreign_files),
        TEST(test_unwritable),
        TEST(test_schema_page),
        TEST(test_memory),
        TEST(test_busy),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
