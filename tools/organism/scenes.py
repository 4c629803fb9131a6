"""What is drawn, what is said about it: scenes, exact part masks, captions, questions.

A scene is 96x96 pixels: a sky, a ground, one or two objects of fourteen kinds, and now and then a cloud, a sun, a
hill, or a bush or rock in front. Every part of an object has the object's colour and one of nine textures of four
pixels period. A texture is shared by five to eight part names, so that a patch by itself narrows its part down but
does not name it: context has to.
"""
import numpy as np

SIZE, PATCH = 96, 8
GRID = SIZE // PATCH

COLORS = {"red": (200, 56, 48), "green": (64, 168, 72), "blue": (56, 96, 208), "yellow": (224, 200, 56),
          "purple": (144, 72, 184), "orange": (232, 136, 40), "white": (216, 216, 216), "gray": (128, 128, 128),
          "pink": (232, 128, 176), "brown": (136, 88, 48)}
COLOR_NAMES = list(COLORS)
TEXTURES = ["plain", "striped", "lined", "dotted", "checked", "ringed", "crossed", "slanted", "dashed"]
TEXTURE_OF = {
    "plain": "torso belly hull wall crate pot cabin",
    "striped": "tail leg trunk mast pole stem neck",
    "lined": "mane wing sail door lid",
    "dotted": "head crown knob shade",
    "checked": "roof window step cockpit",
    "ringed": "eye wheel headlight bulb disk fruit",
    "crossed": "fin ear leaf petal flag claw",
    "slanted": "hoof paw bumper base root engine handle",
    "dashed": "beak tusk nose spout chimney",
}
TEXTURE_OF = {part: tex for tex, parts in TEXTURE_OF.items() for part in parts.split()}
PARTS = list(TEXTURE_OF)
GROUNDS = {"grass": (88, 152, 72), "sand": (208, 184, 128), "water": (72, 128, 168), "snow": (224, 232, 240),
           "road": (96, 96, 104)}
SCENERY = ["sky", "cloud", "sun", "hill", "bush", "rock"] + list(GROUNDS)
LABELS = PARTS + SCENERY          # what a patch can be called
LABEL_ID = {w: i for i, w in enumerate(LABELS)}

# part, shape, x, y, half width, half height, angle, angle jitter. Coordinates in [-1, 1], y down; drawn in order.
# Shapes: e ellipse, r rectangle, t triangle (tip up), v triangle (tip down), d diamond, h upper half of an ellipse.
KINDS = {
    "cat": [("tail", "r", .78, -.12, .11, .42, 25, 20), ("torso", "e", .12, .28, .62, .36, 0, 6),
            ("paw", "r", -.25, .76, .12, .22, 0, 10), ("paw", "r", .52, .76, .12, .22, 0, 10),
            ("ear", "t", -.78, -.66, .15, .2, -12, 8), ("ear", "t", -.34, -.66, .15, .2, 12, 8),
            ("head", "e", -.55, -.24, .36, .34, 0, 8), ("eye", "e", -.66, -.3, .11, .11, 0, 0)],
    "horse": [("tail", "r", .88, .1, .08, .38, -18, 14), ("leg", "r", -.36, .62, .1, .3, 0, 10),
              ("leg", "r", .54, .62, .1, .3, 0, 10), ("hoof", "r", -.36, .92, .14, .11, 0, 0),
              ("hoof", "r", .54, .92, .14, .11, 0, 0), ("torso", "e", .1, .14, .64, .3, 0, 5),
              ("neck", "r", -.5, -.3, .17, .4, -20, 8), ("mane", "r", -.28, -.38, .11, .4, -20, 8),
              ("head", "e", -.74, -.72, .28, .18, -25, 10), ("ear", "t", -.54, -.92, .09, .15, 5, 10)],
    "bird": [("tail", "r", .8, .1, .3, .13, -15, 14), ("claw", "r", -.1, .78, .1, .24, 0, 8),
             ("claw", "r", .22, .78, .1, .24, 0, 8), ("belly", "e", .08, .16, .55, .42, 0, 8),
             ("wing", "e", .26, .08, .36, .24, 25, 18), ("head", "e", -.48, -.36, .3, .28, 0, 8),
             ("beak", "t", -.86, -.32, .13, .18, -90, 10), ("eye", "e", -.54, -.42, .1, .1, 0, 0)],
    "fish": [("tail", "t", .78, 0, .4, .26, -90, 10), ("fin", "t", .0, -.56, .26, .24, 10, 12),
             ("fin", "v", .1, .56, .22, .22, -10, 12), ("belly", "e", .0, 0, .62, .42, 0, 5),
             ("head", "e", -.56, 0, .32, .34, 0, 4), ("eye", "e", -.6, -.08, .12, .12, 0, 0)],
    "elephant": [("tail", "r", .9, .12, .06, .3, -10, 14), ("leg", "r", -.2, .68, .16, .32, 0, 5),
                 ("leg", "r", .52, .68, .16, .32, 0, 5), ("torso", "e", .2, .06, .68, .48, 0, 4),
                 ("head", "e", -.54, -.24, .32, .34, 0, 5), ("trunk", "r", -.84, .22, .11, .46, 8, 14),
                 ("tusk", "t", -.58, .24, .1, .22, 170, 10), ("ear", "e", -.3, -.28, .22, .34, 0, 10),
                 ("eye", "e", -.7, -.34, .09, .09, 0, 0)],
    "car": [("roof", "r", .02, -.44, .42, .12, 0, 3), ("window", "r", -.16, -.18, .2, .18, 0, 2),
            ("window", "r", .26, -.18, .18, .18, 0, 2), ("hull", "r", 0, .2, .84, .24, 0, 2),
            ("door", "r", .06, .18, .2, .22, 0, 0), ("bumper", "r", -.88, .34, .12, .13, 0, 0),
            ("headlight", "e", -.72, .1, .12, .12, 0, 0), ("wheel", "e", -.48, .54, .22, .22, 0, 0),
            ("wheel", "e", .5, .54, .22, .22, 0, 0)],
    "truck": [("crate", "r", .3, -.2, .62, .46, 0, 2), ("cabin", "r", -.62, .0, .28, .4, 0, 2),
              ("window", "r", -.64, -.18, .18, .16, 0, 0), ("bumper", "r", -.84, .42, .13, .12, 0, 0),
              ("headlight", "e", -.74, .2, .11, .11, 0, 0), ("wheel", "e", -.5, .56, .2, .2, 0, 0),
              ("wheel", "e", .26, .56, .2, .2, 0, 0), ("wheel", "e", .7, .56, .2, .2, 0, 0)],
    "boat": [("mast", "r", .02, -.3, .07, .62, 0, 4), ("sail", "t", .4, -.3, .32, .5, 0, 6),
             ("flag", "r", -.2, -.8, .2, .13, 0, 8), ("hull", "v", 0, .6, .92, .34, 0, 4),
             ("cabin", "r", -.42, .18, .24, .16, 0, 2), ("window", "r", -.42, .16, .12, .1, 0, 0)],
    "plane": [("tail", "t", .78, -.38, .2, .34, 10, 8), ("hull", "e", 0, 0, .86, .24, 0, 4),
              ("nose", "e", -.8, .02, .18, .17, 0, 4), ("cockpit", "r", -.48, -.14, .16, .12, 0, 4),
              ("wing", "t", .14, .28, .24, .42, 170, 12), ("engine", "e", -.14, .4, .2, .13, 0, 6)],
    "tree": [("root", "t", -.22, .88, .2, .14, 0, 6), ("root", "t", .22, .88, .2, .14, 0, 6),
             ("trunk", "r", 0, .46, .15, .44, 0, 6), ("crown", "e", 0, -.38, .68, .5, 0, 8),
             ("fruit", "e", -.32, -.3, .13, .13, 0, 0), ("fruit", "e", .3, -.5, .13, .13, 0, 0),
             ("leaf", "d", .62, .06, .2, .13, 20, 20)],
    "flower": [("stem", "r", 0, .2, .08, .44, 0, 6), ("leaf", "e", -.34, .26, .28, .13, 25, 15),
               ("leaf", "e", .34, .2, .28, .13, -25, 15), ("petal", "e", 0, -.78, .2, .24, 0, 8),
               ("petal", "e", -.38, -.46, .24, .2, 0, 8), ("petal", "e", .38, -.46, .24, .2, 0, 8),
               ("disk", "e", 0, -.46, .22, .22, 0, 0), ("pot", "r", 0, .76, .36, .22, 0, 3)],
    "teapot": [("spout", "r", -.76, .0, .12, .34, -35, 8), ("handle", "r", .8, .08, .12, .36, 0, 8),
               ("belly", "e", 0, .2, .62, .54, 0, 4), ("lid", "h", 0, -.24, .42, .26, 0, 4),
               ("knob", "e", 0, -.6, .14, .14, 0, 0), ("base", "r", 0, .76, .38, .11, 0, 2)],
    "lamp": [("pole", "r", 0, .26, .08, .5, 0, 4), ("base", "r", 0, .82, .46, .13, 0, 3),
             ("shade", "t", 0, -.46, .6, .36, 0, 4), ("bulb", "e", 0, .0, .16, .16, 0, 0),
             ("knob", "e", .0, -.86, .12, .12, 0, 0)],
    "house": [("chimney", "r", .46, -.68, .12, .24, 0, 2), ("wall", "r", 0, .34, .66, .46, 0, 2),
              ("roof", "t", 0, -.42, .86, .38, 0, 3), ("door", "r", .28, .5, .16, .3, 0, 0),
              ("window", "r", -.3, .3, .2, .2, 0, 0), ("step", "r", .28, .86, .28, .1, 0, 0)],
}
KIND_NAMES = list(KINDS)

# Kinds that are never drawn. In the text stage a scene may be renamed: layout of the drawn kind, upside down, with
# these words in place of its part names, so that many more part-like words compete at image positions.
WORD_KINDS = {
    "cat": ("robot", "chest helmet antenna sensor gripper cable"),
    "horse": ("dragon", "coil limb spike flank throat crest skull scale"),
    "bird": ("knight", "cloak spur armor shield visor sword badge"),
    "fish": ("guitar", "string fret soundboard bridge rosette"),
    "elephant": ("crane", "rope strut boom counterweight jib hook winch pulley"),
    "car": ("train", "canopy porthole boiler hatch piston lantern bogie"),
    "truck": ("castle", "keep gatehouse slit moat beacon turret"),
    "boat": ("piano", "prop strings scroll keyboard lyre hinge"),
    "plane": ("shark", "rudder side snout brow flipper gill"),
    "tree": ("fountain", "plinth shaft basin nozzle spray"),
    "flower": ("clock", "pendulum dial numeral gear case"),
    "teapot": ("hammer", "peen grip shoulder poll wedge cheek"),
    "lamp": ("umbrella", "rod ferrule fabric button tip"),
    "house": ("bicycle", "bell frame saddle pedal spoke chain"),
}


def parts_of(kind):
    """Distinct part names of a drawn kind, in drawing order."""
    return list(dict.fromkeys(p[0] for p in KINDS[kind]))


RENAMED = {k: (w, dict(zip(parts_of(k), ps.split()))) for k, (w, ps) in WORD_KINDS.items()}

# One fact line per kind (place, verb, maker or companion): more words for the vocabulary, learned from text alone.
FACTS = {
    "cat": ("basket", "purr", "weaver"), "horse": ("stable", "gallop", "rider"), "bird": ("nest", "sing", "forester"),
    "fish": ("lake", "swim", "angler"), "elephant": ("savanna", "march", "ranger"), "car": ("garage", "drive", "mechanic"),
    "truck": ("warehouse", "haul", "trucker"), "boat": ("harbor", "float", "sailor"), "plane": ("airport", "fly", "pilot"),
    "tree": ("forest", "grow", "logger"), "flower": ("garden", "bloom", "florist"), "teapot": ("kitchen", "pour", "potter"),
    "lamp": ("desk", "glow", "reader"), "house": ("village", "stand", "mason"), "robot": ("factory", "compute", "engineer"),
    "dragon": ("cave", "burn", "wizard"), "knight": ("arena", "fight", "squire"), "guitar": ("stage", "ring", "musician"),
    "crane": ("dock", "lift", "operator"), "train": ("station", "travel", "conductor"), "castle": ("valley", "tower", "king"),
    "piano": ("theater", "play", "composer"), "shark": ("ocean", "hunt", "diver"), "fountain": ("park", "splash", "sculptor"),
    "clock": ("hall", "tick", "watchmaker"), "hammer": ("workshop", "strike", "carpenter"),
    "umbrella": ("closet", "open", "walker"), "bicycle": ("shed", "roll", "courier"),
}
NUMBERS = "one two three four five six seven eight nine ten eleven twelve".split()


def held_out(kind, color):
    """Colour of a kind that no training scene shows: two of ten, different for each kind."""
    k = KIND_NAMES.index(kind)
    return (COLOR_NAMES.index(color) - 3 * k) % 10 in (0, 5)


_YY, _XX = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
_XI, _YI = np.mgrid[0:SIZE, 0:SIZE][1], np.mgrid[0:SIZE, 0:SIZE][0]


def _shape(shape, dx, dy, rx, ry, angle):
    c, s = np.cos(angle), np.sin(angle)
    u, v = (c * dx + s * dy) / rx, (-s * dx + c * dy) / ry
    if shape == "e":
        return u * u + v * v <= 1
    if shape == "h":
        return (u * u + (v - 1) * (v - 1) / 4 <= 1) & (v <= 1) & (abs(u) <= 1)
    if shape == "r":
        return (abs(u) <= 1) & (abs(v) <= 1)
    if shape == "d":
        return abs(u) + abs(v) <= 1
    if shape == "v":
        v = -v
    return (abs(v) <= 1) & (abs(u) <= (v + 1) / 2)


def _texture(name, x, y, cx, cy, px, py):
    x, y = x + px, y + py
    if name == "striped":
        return (y // 2) % 2
    if name == "lined":
        return (x // 2) % 2
    if name == "dotted":
        return ((x % 4 < 2) & (y % 4 < 2)) * 1
    if name == "checked":
        return (x // 2 + y // 2) % 2
    if name == "ringed":
        return (np.sqrt((x - px - cx) ** 2 + (y - py - cy) ** 2).astype(np.int64) // 2) % 2
    if name == "crossed":
        return ((x + y) // 2) % 2
    if name == "slanted":
        return ((x - y) // 2) % 2
    if name == "dashed":
        return ((y % 4 < 2) & ((x + 2 * (y // 4)) % 8 < 5)) * 1
    return np.zeros_like(x)


def draw(rng, split):
    """One scene: image uint8 [96, 96, 3], label map uint8 [96, 96] of instance numbers, instances, objects.

    Instance i (value i in the map, from 0) is (label word, object number or -1). Colours of kinds follow the split:
    "train" and "val" never show a held-out pair, "test" shows nothing else.
    """
    img = np.empty((SIZE, SIZE, 3), np.float32)
    ids = np.zeros((SIZE, SIZE), np.uint8)
    inst = []

    def paint(mask, rgb, label, obj):
        img[mask] = rgb if np.ndim(rgb) == 1 else rgb[mask]
        ids[mask] = len(inst)
        inst.append((label, obj))

    everywhere = np.ones((SIZE, SIZE), bool)
    sky = np.array([(136, 176, 224), (176, 200, 232), (112, 144, 200), (232, 176, 152)][rng.integers(4)], np.float32)
    paint(everywhere, sky - 8 * (_YI // 24)[..., None].astype(np.float32), "sky", -1)
    horizon = int(rng.integers(48, 80))
    ground = list(GROUNDS)[rng.integers(len(GROUNDS))]
    grgb = np.array(GROUNDS[ground], np.float32) + rng.integers(-2, 3) * 8
    if rng.random() < .35:
        x, w, h = rng.uniform(10, 86), rng.uniform(20, 44), rng.uniform(12, 30)
        paint(_shape("e", _XX - x, _YY - horizon, w, h, 0), grgb * .75, "hill", -1)
    if rng.random() < .35:
        x, y, w, h = rng.uniform(8, 88), rng.uniform(6, 24), rng.uniform(10, 18), rng.uniform(5, 8)
        paint(_shape("e", _XX - x, _YY - y, w, h, 0), np.array((240., 240, 240)), "cloud", -1)
    if rng.random() < .25:
        x, y, r = rng.uniform(8, 88), rng.uniform(8, 22), rng.uniform(5, 9)
        paint(_shape("e", _XX - x, _YY - y, r, r, 0), np.array((248., 216, 96)), "sun", -1)
    paint(_YY >= horizon, grgb - 8 * (_XI // 4 % 2)[..., None] * (ground in ("water", "grass")), ground, -1)

    objs = []
    two = rng.random() < .45
    kinds = rng.permutation(len(KIND_NAMES))[:2 if two else 1]
    left_first = rng.random() < .5
    for o, k in enumerate(kinds):
        kind = KIND_NAMES[k]
        colors = [c for c in COLOR_NAMES if held_out(kind, c) == (split == "test")]
        color = colors[rng.integers(len(colors))]
        if two:
            r = rng.uniform(22, 30)
            cx = rng.uniform(20, 34) if (o == 0) == left_first else rng.uniform(62, 76)
        else:
            r = rng.uniform(32, 46)
            cx = rng.uniform(40, 56)
        cy = rng.uniform(38, 60)
        sx, sy, flip, rot = rng.uniform(.88, 1.12), rng.uniform(.88, 1.12), rng.random() < .5, rng.normal() * .12
        rgb = np.clip(np.array(COLORS[color], np.float32) + rng.integers(-2, 3, 3) * 8, 0, 255)
        dark = .5 + .2 * rng.random()
        for part, shape, x, y, rx, ry, angle, jitter in KINDS[kind]:
            x, y = x + rng.normal() * .03, y + rng.normal() * .03
            grow = rng.uniform(.88, 1.15)
            a = np.deg2rad(angle + rng.normal() * jitter * .6)
            if flip:
                x, a = -x, -a
            x, y = x * sx, y * sy
            x, y = np.cos(rot) * x - np.sin(rot) * y, np.sin(rot) * x + np.cos(rot) * y
            # Parts thinner than two thirds of a patch would never own one: keep a floor of 3.2 px half width.
            hx, hy = max(rx * sx * r * grow, 3.2), max(ry * sy * r * grow, 3.2)
            px, py = cx + x * r, cy + y * r
            mask = _shape(shape, _XX - px, _YY - py, hx, hy, a + rot)
            if not mask.any():
                continue
            t = _texture(TEXTURE_OF[part], _XI, _YI, px, py, int(rng.integers(4)), int(rng.integers(4)))
            paint(mask, rgb * (1 - (1 - dark) * t[..., None].astype(np.float32)), part, o)
        objs.append({"kind": kind, "color": color, "x": cx, "y": cy, "big": bool(r >= (26 if two else 39)), "obj": o})
    if rng.random() < .3:
        label = ("bush", "rock")[rng.integers(2)]
        x, w, h = rng.uniform(6, 90), rng.uniform(8, 13), rng.uniform(8, 16)
        base = np.array((56, 112, 56) if label == "bush" else (112, 104, 96), np.float32)
        paint(_shape("h", _XX - x, _YY - rng.uniform(72, 94), w, h, 0), base, label, -1)
    noise = rng.integers(-2, 3, (SIZE // 2, SIZE // 2)).repeat(2, 0).repeat(2, 1) * 6
    img = np.clip(img * rng.uniform(.9, 1.08) + noise[..., None], 0, 255)
    return img.astype(np.uint8), ids, inst, {"ground": ground, "objs": objs}


def coverage(ids, n):
    """Pixels of each instance in each patch: int [n, 144], row-major patches."""
    blocks = ids.reshape(GRID, PATCH, GRID, PATCH).swapaxes(1, 2).reshape(GRID * GRID, PATCH * PATCH)
    return np.stack([(blocks == i).sum(1) for i in range(n)])


def make(seed, split):
    """Scene number `seed` of a split: (image, instance map, instances, scene record used for the texts)."""
    rng = np.random.default_rng([{"train": 1, "val": 2, "test": 3}[split], seed])
    while True:
        img, ids, inst, scene = draw(rng, split)
        cov = coverage(ids, len(inst))
        area = cov.sum(1)
        # Redraw when an object is hidden to less than two visible parts.
        seen = [{i for i in range(len(inst)) if inst[i][1] == o["obj"] and area[i] >= 12} for o in scene["objs"]]
        if all(len({inst[i][0] for i in s}) >= 2 for s in seen):
            break
    own = cov.argmax(0)
    scene["grid"] = np.array([LABEL_ID[inst[i][0]] for i in own], np.uint8)
    scene["cover"] = (cov.max(0)).astype(np.uint8)
    scene["gobj"] = np.array([inst[i][1] if inst[i][1] >= 0 else 255 for i in own], np.uint8)
    for o, s in zip(scene["objs"], seen):
        o["parts"] = list(dict.fromkeys(inst[i][0] for i in sorted(s)))
    scene["extras"] = [inst[i][0] for i in range(len(inst)) if inst[i][1] < 0 and area[i] >= 12]
    return img, ids, inst, scene


# ---- texts -----------------------------------------------------------------------------------------------------------

def article(word):
    return ("an " if word[0] in "aeiou" else "a ") + word


def listing(words):
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def place(o):
    return "left" if o["x"] < 40 else "right" if o["x"] > 56 else "middle"


def names_of(o, word):
    """Kind name and a function part -> name, in drawn words or in the renamed ones."""
    if not word:
        return o["kind"], lambda p: p
    kind, table = RENAMED[o["kind"]]
    return kind, lambda p: table[p]


def caption(scene, rng, word=False):
    out = []
    for o in [scene["objs"][i] for i in rng.permutation(len(scene["objs"]))]:
        kind, name = names_of(o, word)
        parts = [name(o["parts"][i]) for i in rng.permutation(len(o["parts"]))]
        size = "large" if o["big"] else "small"
        out.append(f"{article(size)} {o['color']} {kind} with {listing(parts)} in the {place(o)}" if place(o) == "middle"
                   else f"{article(size)} {o['color']} {kind} with {listing(parts)} on the {place(o)}")
    return ". ".join(out) + f". the ground is {scene['ground']}."


def short_caption(scene, rng):
    """A caption for the contrastive stage: colour, kind, side and up to four parts of each object."""
    out = []
    for o in [scene["objs"][i] for i in rng.permutation(len(scene["objs"]))]:
        parts = [o["parts"][i] for i in rng.permutation(len(o["parts"]))[:4]]
        out.append(f"{article(o['color'])} {o['kind']} with {listing(parts)} on the {place(o)}")
    return ". ".join(out) + f". the ground is {scene['ground']}."


WORD_TYPES = ["cell"] * 5 + ["color", "exist", "exist", "has", "where", "ground", "count", "size", "fact", "texture"]
TYPES = WORD_TYPES + ["row"] * 3


def questions(scene, rng, n, word=False, types=TYPES):
    """n question-answer pairs with their type; reading rows and cells makes up about two fifths."""
    grid = scene["grid"]
    owner = {p: [o for o in scene["objs"] if p in o["parts"]] for p in PARTS}
    rename = {LABEL_ID[w]: w for w in LABELS}
    out = []
    while len(out) < n:
        t = types[rng.integers(len(types))]
        o = scene["objs"][rng.integers(len(scene["objs"]))]
        kind, name = names_of(o, word)
        if t == "row":
            rows = np.flatnonzero((scene["gobj"] != 255).reshape(GRID, GRID).any(1)) if rng.random() < .8 else np.arange(GRID)
            i = int(rows[rng.integers(len(rows))])
            said = [rename[grid[j]] if scene["gobj"][j] == 255 else
                    names_of(scene["objs"][scene["gobj"][j]], word)[1](rename[grid[j]]) for j in range(GRID * i, GRID * i + GRID)]
            out.append((t, f"what is in row {NUMBERS[i]}?", " ".join(said)))
        elif t == "cell":
            cells = np.flatnonzero(scene["gobj"] != 255) if rng.random() < .8 else np.arange(GRID * GRID)
            if len(cells) == 0:
                continue
            i = int(cells[rng.integers(len(cells))])
            if scene["cover"][i] < PATCH * PATCH // 2:
                continue
            w = rename[grid[i]]
            if scene["gobj"][i] != 255:
                w = names_of(scene["objs"][scene["gobj"][i]], word)[1](w)
            out.append((t, f"what is in row {NUMBERS[i // GRID]} column {NUMBERS[i % GRID]}?", w))
        elif t == "color":
            out.append((t, f"what color is the {kind}?", o["color"]))
        elif t == "exist":
            seen = [p for q in scene["objs"] for p in q["parts"]]
            if rng.random() < .5:
                p = o["parts"][rng.integers(len(o["parts"]))]
                out.append((t, f"is there {article(name(p))}?", "yes"))
            else:
                p = PARTS[rng.integers(len(PARTS))]
                if p in seen or word:
                    continue
                out.append((t, f"is there {article(p)}?", "no"))
        elif t == "has":
            p = o["parts"][rng.integers(len(o["parts"]))]
            if len(owner[p]) == 1:
                out.append((t, f"which object has {article(name(p))}?", kind))
        elif t == "where":
            out.append((t, f"where is the {kind}?", place(o)))
        elif t == "ground":
            out.append((t, "what is the ground?", scene["ground"]))
        elif t == "count":
            out.append((t, "how many objects are there?", NUMBERS[len(scene["objs"]) - 1]))
        elif t == "size":
            out.append((t, f"how big is the {kind}?", "large" if o["big"] else "small"))
        elif t == "texture":
            p = o["parts"][rng.integers(len(o["parts"]))]
            out.append((t, f"how does the {name(p)} look?", TEXTURE_OF[p]))
        else:
            k = list(FACTS)[rng.integers(len(FACTS))]
            j = int(rng.integers(3))
            q = ("where is {} found?", "what does {} do?", "who is often with {}?")[j]
            out.append((t, q.format(article(k)), FACTS[k][j]))
    return out


def all_words():
    """Every word a text can contain: the vocabulary that must be single tokens after a space."""
    texts = LABELS + COLOR_NAMES + TEXTURES + NUMBERS + KIND_NAMES
    for w, t in RENAMED.values():
        texts += [w] + list(t.values())
    for k, f in FACTS.items():
        texts += [k] + list(f)
    texts += ("a an the with and in on is are there what which where how who does do color object objects has many big "
              "large small left right middle ground row column look often found yes no describe scene thing of USER "
              "ASSISTANT").split()
    return list(dict.fromkeys(texts))


if __name__ == "__main__":
    import time
    from PIL import Image
    assert all(set(p[0] for p in KINDS[k]) <= set(PARTS) for k in KINDS)
    assert all(len(parts_of(k)) == len(WORD_KINDS[k][1].split()) for k in KINDS), [
        (k, len(parts_of(k)), len(WORD_KINDS[k][1].split())) for k in KINDS]
    print(len(PARTS), "parts", len(all_words()), "words")
    t = time.time()
    sheet = Image.new("RGB", (96 * 8, 96 * 6))
    frac = []
    for i in range(48):
        im, ids, inst, sc = make(i, "train")
        frac.append((sc["gobj"] != 255).sum())
        sheet.paste(Image.fromarray(im), (96 * (i % 8), 96 * (i // 8)))
    print((time.time() - t) / 48, "s a scene;", np.mean(frac), "object patches")
    rng = np.random.default_rng(0)
    print(caption(sc, rng), caption(sc, rng, True), *questions(sc, rng, 12), *questions(sc, rng, 4, True), sep="\n")
    sheet.resize((96 * 16, 96 * 12), 0).save("/tmp/sheet.png")
