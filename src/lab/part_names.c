/* The part names of Pascal-Part (Chen et al. 2014), side and counter marks spelled out.
 * Source: the annotation files and the statistics page of the data set. */
#include "lab/part_names.h"

#include <stdlib.h>
#include <string.h>

/* Sorted by name. */
static const tap_part_name pascal[] = {
    {"backside", "back", "back"},
    {"beak", "beak", "beak"},
    {"bliplate", "license plate", "bliplate"},
    {"body", "body", "body"},
    {"bwheel", "wheel", "bwheel"},
    {"cap", "cap", "cap"},
    {"cbackside", "back", "cbackside"},
    {"cfrontside", "front", "cfrontside"},
    {"chainwheel", "chainwheel", "chainwheel"},
    {"cleftside", "side", "cside"},
    {"coach", "coach", "coach"},
    {"crightside", "side", "cside"},
    {"croofside", "roof", "croofside"},
    {"door", "door", "door"},
    {"engine", "engine", "engine"},
    {"fliplate", "license plate", "fliplate"},
    {"frame", "frame", "frame"},
    {"frontside", "front", "front"},
    {"fwheel", "wheel", "fwheel"},
    {"hair", "hair", "hair"},
    {"handlebar", "handlebar", "handlebar"},
    {"hbackside", "back", "hbackside"},
    {"head", "head", "head"},
    {"headlight", "headlight", "headlight"},
    {"hfrontside", "front", "hfrontside"},
    {"hleftside", "side", "hside"},
    {"hrightside", "side", "hside"},
    {"hroofside", "roof", "hroofside"},
    {"lbho", "hoof", "hoof"},
    {"lbleg", "leg", "leg"},
    {"lblleg", "leg", "leg"},
    {"lbpa", "paw", "paw"},
    {"lbuleg", "leg", "leg"},
    {"lear", "ear", "ear"},
    {"lebrow", "eyebrow", "eyebrow"},
    {"leftmirror", "mirror", "mirror"},
    {"leftside", "side", "side"},
    {"leye", "eye", "eye"},
    {"lfho", "hoof", "hoof"},
    {"lfleg", "leg", "leg"},
    {"lflleg", "leg", "leg"},
    {"lfoot", "foot", "foot"},
    {"lfpa", "paw", "paw"},
    {"lfuleg", "leg", "leg"},
    {"lhand", "hand", "hand"},
    {"lhorn", "horn", "horn"},
    {"llarm", "arm", "lower arm"},
    {"lleg", "leg", "leg"},
    {"llleg", "leg", "leg"},
    {"luarm", "arm", "upper arm"},
    {"luleg", "leg", "leg"},
    {"lwing", "wing", "wing"},
    {"mouth", "mouth", "mouth"},
    {"muzzle", "muzzle", "muzzle"},
    {"neck", "neck", "neck"},
    {"nose", "nose", "nose"},
    {"plant", "plant", "plant"},
    {"pot", "pot", "pot"},
    {"rbho", "hoof", "hoof"},
    {"rbleg", "leg", "leg"},
    {"rblleg", "leg", "leg"},
    {"rbpa", "paw", "paw"},
    {"rbuleg", "leg", "leg"},
    {"rear", "ear", "ear"},
    {"rebrow", "eyebrow", "eyebrow"},
    {"reye", "eye", "eye"},
    {"rfho", "hoof", "hoof"},
    {"rfleg", "leg", "leg"},
    {"rflleg", "leg", "leg"},
    {"rfoot", "foot", "foot"},
    {"rfpa", "paw", "paw"},
    {"rfuleg", "leg", "leg"},
    {"rhand", "hand", "hand"},
    {"rhorn", "horn", "horn"},
    {"rightmirror", "mirror", "mirror"},
    {"rightside", "side", "side"},
    {"rlarm", "arm", "lower arm"},
    {"rleg", "leg", "leg"},
    {"rlleg", "leg", "leg"},
    {"roofside", "roof", "roof"},
    {"ruarm", "arm", "upper arm"},
    {"ruleg", "leg", "leg"},
    {"rwing", "wing", "wing"},
    {"saddle", "saddle", "saddle"},
    {"screen", "screen", "screen"},
    {"stern", "stern", "stern"},
    {"tail", "tail", "tail"},
    {"torso", "torso", "torso"},
    {"wheel", "wheel", "wheel"},
    {"window", "window", "window"},
};

static int compare(const void *key, const void *entry)
{
    const char *const *name = key;
    return strcmp(*name, ((const tap_part_name *)entry)->name);
}

size_t tap_name_without_counter(const char *name)
{
    const char *mark = strrchr(name, '_');
    if (!mark || mark == name || mark[1] == '\0' ||
        strspn(mark + 1, "0123456789") != strlen(mark + 1))
        return strlen(name);
    return (size_t)(mark - name);
}

const tap_part_name *tap_pascal_part(const char *name)
{
    char base[32];
    const size_t n = tap_name_without_counter(name);
    if (n >= sizeof base)
        return NULL;
    memcpy(base, name, n);
    base[n] = '\0';
    const char *key = base;
    return bsearch(&key, pascal, sizeof pascal / sizeof *pascal, sizeof *pascal,
                   compare);
}
