/* Which rows does an image give the decoder, what is each, and which patches does it stand
 * for? The position map on the decoder's side of the projector.
 *
 * A view is a picture of its own: the whole image squashed into one tile (the thumbnail),
 * or the tiles of the mosaic put together. Rows and columns of patches count over a view. */
#ifndef TAP_MODEL_LAYOUT_H
#define TAP_MODEL_LAYOUT_H

#include "hook/groups.h"
#include "model/spec.h"

/* Rows that are learned vectors and not features. */
enum { TAP_FROM_NEWLINE = -1, TAP_FROM_SEPARATOR = -2, TAP_FROM_NOTHING = -3 };

/* One row. Its value is row from[0] of the projector's output (gathers_first: of the merged
 * features), a learned vector, or, of a shrunk map, the mix of from[0..3]: the corners above
 * left, above right, below left, below right of a point that lies lean_x, lean_y beyond the
 * first. Corners with from < 0 carry no weight. */
typedef struct tap_slot {
    tap_role role;
    bool thumb;
    int tile;     /* that most of it comes from; -1: none */
    int row, col; /* on the decoder's grid of the view; -1: none */
    int first_row, first_col, n_rows,
        n_cols; /* patches of the view that it stands for */
    int32_t from[4];
    float lean_x, lean_y;
} tap_slot;

struct tap_layout {
    int64_t n_slots;
    tap_slot *slots;
    int64_t n_merged; /* rows of merged features of all tiles */
    int64_t n_groups; /* perceiver: groups of places, n_latents slots for each */
    int32_t *media;   /* [n_groups][patches of a tile]: the feature row that stands
                                 at a place of a group; -1: padding, nobody reads it */
    bool is_plain;    /* slot i is row i, no more and no less */
    int n_rows[2], n_cols[2]; /* the decoder's grid of a view, [1]: the thumbnail's */
};

TAP_NODISCARD tap_status tap_layout_compile(tap_layout *out, const tap_spec *spec,
                                            const tap_geometry *geometry,
                                            tap_error *err);
void tap_layout_clear(tap_layout *layout);

/* Appends; capacity was reserved by tap_layout_reserve. */
TAP_NODISCARD tap_status tap_layout_reserve(tap_layout *layout, int64_t n_slots,
                                            tap_error *err);
void tap_layout_put(tap_layout *layout, const tap_slot *slot);

/* Patch (row, col) of a view as an index into [n_tiles][n_rows][n_cols]. */
int64_t tap_layout_patch(const tap_geometry *geometry, bool thumb, int64_t row,
                         int64_t col);

/* The shares of slots that a mask covers, from those of the patches: cover [n_slots], the
 * mean over the patches that a slot stands for (equal areas), 0 where it stands for none;
 * patches [n_tiles][n_rows][n_cols] as tap_mask_cover gives them. */
float tap_slot_cover(const tap_slot *slot, const tap_geometry *geometry,
                     const float *patches);
void tap_layout_cover(float *cover, const tap_layout *layout,
                      const tap_geometry *geometry, const float *patches);

/* In source pixels, cut to the image: [x0, x1) x [y0, y1). */
typedef struct tap_box {
    double x0, y0, x1, y1;
} tap_box;

/* The box of a slot, the union of its patches. False if it stands for no patch, or for
 * padding alone. */
bool tap_layout_box(tap_box *out, const tap_slot *slot, const tap_geometry *geometry);
/* The same for one patch of a tile. */
bool tap_patch_box(tap_box *out, const tap_geometry *geometry, int tile, int row,
                   int col);

/* The slot, -1 if none, that shows a source point (continuous px) in a view. */
int64_t tap_layout_find(const tap_layout *layout, const tap_geometry *geometry,
                        bool thumb, double x, double y);

/* Layouts that several families share. flat: tile by tile, row by row, CLS first where it
 * is kept. anyres: the thumbnail, then the mosaic without its padding, a newline after each
 * row (LLaVA-NeXT). */
TAP_NODISCARD tap_status tap_layout_flat(tap_layout *out, const tap_spec *spec,
                                         const tap_geometry *geometry, tap_error *err);
TAP_NODISCARD tap_status tap_layout_anyres(tap_layout *out, const tap_spec *spec,
                                           const tap_geometry *geometry,
                                           tap_error *err);

#endif
