/* Ranks of one word under two conditions, through the public header alone.
 *
 *   who_sees [MODEL IMAGE MASK WORD]       the embedded random model without arguments */
#include <stdio.h>

#include <tapetum.h>

int main(int argc, char **argv)
{
    const char *model_path = argc > 4 ? argv[1] : "share/organism/random";
    const char *words[] = {argc > 4 ? argv[4] : "head"};
    const char *conditions[] = {"", "vision: image <- image|cls"};
    tap_question question = TAP_QUESTION_INIT;
    question.image = argc > 4 ? argv[2] : "share/organism/scenes/000.png";
    question.part_mask = argc > 4 ? argv[3] : "share/organism/scenes/000.parts.png";
    question.labels = words;
    question.n_labels = 1;
    question.conditions = conditions;
    question.n_conditions = 2;

    tap_error err;
    tap_model *model = NULL;
    tap_answer *answer = NULL;
    if (tap_model_open(&model, model_path, &err) != TAP_OK ||
        tap_ask(&answer, model, &question, &err) != TAP_OK) {
        (void)fprintf(stderr, "who_sees: %s\n", err.message);
        tap_model_close(model);
        return 1;
    }
    (void)printf("best rank of '%s' over the part\ndepth   clean   encoder cut\n",
                 words[0]);
    for (int d = 0; d < tap_answer_n_depths(answer); d++) {
        float best[2] = {0.0F, 0.0F};
        for (size_t c = 0; c < 2; c++) {
            const float *ranks = tap_answer_ranks(answer, c, d, 0);
            for (int64_t i = 0; i < tap_answer_n_patches(answer); i++)
                if (tap_answer_in_part(answer, i) &&
                    (best[c] <= 0.0F || ranks[i] < best[c]))
                    best[c] = ranks[i];
        }
        (void)printf("%5d %7g %13g\n", d, (double)best[0], (double)best[1]);
    }
    tap_answer_free(answer);
    tap_model_close(model);
    return 0;
}
