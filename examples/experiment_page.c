/* An experiment file to a database and a page, through the public header alone. An
 * interrupt stops between images; the next call goes on.
 *
 *   experiment_page EXPERIMENT.yaml RESULTS.db PAGE.html
 *
 * Try: experiment_page examples/small.yaml BUILD/examples/small.db BUILD/examples/small.html */
#include <signal.h>
#include <stdio.h>

#include <tapetum.h>

static volatile bool stop;

static void on_interrupt(int number)
{
    (void)number;
    stop = true;
}

int main(int argc, char **argv)
{
    tap_error err;
    if (argc != 4) {
        (void)fprintf(stderr, "experiment_page EXPERIMENT.yaml RESULTS.db PAGE.html\n");
        return 2;
    }
    (void)signal(SIGINT, on_interrupt);
    const char *databases[] = {argv[2]};
    const tap_status status = tap_experiment_run(argv[1], argv[2], 0, 0, &stop, &err);
    if (status == TAP_ESTOPPED) {
        (void)printf("stopped and saved; the same command goes on\n");
        return 130;
    }
    if (status != TAP_OK || tap_report(argv[3], databases, 1, 0, &err) != TAP_OK) {
        (void)fprintf(stderr, "experiment_page: %s\n", err.message);
        return 1;
    }
    (void)printf("%s\n", argv[3]);
    return 0;
}
