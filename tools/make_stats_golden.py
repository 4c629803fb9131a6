"""Expected statistics for tests/golden/stats, by numpy and SciPy, not by tapetum.

Writes ranks.tsv (a small made-up experiment) and expected.tsv (every number that
src/lab/stats*.c computes from it). Run from the repository root with numpy 2 and scipy 1.
Random numbers come from a Philox written here, so resamples are the same draws.
"""

import math
import os

import numpy as np
from scipy import stats as sps

OUT = "tests/golden/stats"
B, SEED, N, LEVEL, DELTA = 600, 7, 2000, 0.95, 0.02
CONDITIONS = ["clean", "encoder_off", "decoder_off", "both_off"]
METRICS = ["log_rank", "mrr", "hit@1", "hit@5", "hit@10", "hit@100", "median"]
DEPTHS = 3


def philox(counter, key):
    c, k0, k1 = list(counter), key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def draws(strata, stream):
    """counts[B][n_images]; strata: lists of images."""
    n = sum(len(s) for s in strata)
    out = np.zeros((B, n))
    for b in range(B):
        words = [w for i in range((n + 3) // 4) for w in philox([i, b, stream, 0], SEED)]
        at = 0
        for s in strata:
            for _ in s:
                out[b, s[(words[at] * len(s)) >> 32]] += 1
                at += 1
    return out


# ---- the experiment: 26 images, three object classes, one of them rare
rng = np.random.default_rng(20250605)
items = []  # image, object, label
for image in range(26):
    own = "cat" if image < 12 else "dog" if image < 22 else "bird"
    for _ in range(int(rng.integers(1, 6))):
        obj = own if rng.random() < 0.8 else ["cat", "dog", "bird"][int(rng.integers(3))]
        items.append((image, obj, ["ear", "tail", "leg"][int(rng.integers(3))]))
ranks = np.zeros((len(CONDITIONS), DEPTHS, len(items)))
for i in range(len(items)):
    base = rng.normal(0, 1.2)
    for d in range(DEPTHS):
        for c, loss in enumerate([0.0, 0.8, 1.0, 3.0]):
            # at depth 0 the decoder has done nothing: its cut changes no rank
            if d == 0 and c >= 2:
                ranks[c, d, i] = ranks[c - 2, d, i]
                continue
            r = 2 ** max(0.0, 6.0 - 2.0 * d + base + loss * (0.3 + 0.5 * d) + rng.normal(0, 0.8))
            ranks[c, d, i] = min(N, max(1.0, round(2 * r) / 2))
# depth 1: both cuts nearly harmless, so that ratios are NA
for c in range(1, 4):
    ranks[c, 1] = ranks[0, 1]
    ranks[c, 1, :3] = ranks[0, 1, :3] + 0.5

image = np.array([x[0] for x in items])
objects = np.array([x[1] for x in items])
category = np.array([f"{x[1]}:{x[2]}" for x in items])
n_images = int(image.max()) + 1

# ---- strata: the class of most items, small classes together at the end
majority = []
for i in range(n_images):
    names, counts = np.unique(objects[image == i], return_counts=True)
    majority.append(names[np.argmax(counts)])
strata, rest = [], []
for name in sorted(set(objects)):
    members = [i for i in range(n_images) if majority[i] == name]
    if len(members) >= 8:
        strata.append(members)
    else:
        rest += members
if rest:
    strata.append(sorted(rest))

COUNTS = {"micro": draws([list(range(n_images))], 0), "macro": draws(strata, 1)}
STRATA = {"micro": [list(range(n_images))], "macro": strata}


def metric_value(metric, r):
    if metric == "log_rank":
        return 1 - np.log2(r) / math.log2(N)
    if metric == "mrr":
        return 1 / r
    return (r <= int(metric[4:])).astype(float)


def mean_of(average, metric, r, counts):
    """One score under drawing counts, from repeated items."""
    times = counts[image].astype(int)
    if times.sum() == 0:
        return np.nan
    groups = [np.arange(len(items))] if average == "micro" else [
        np.nonzero(category == k)[0] for k in sorted(set(category))]
    out = []
    for g in groups:
        repeated = np.repeat(r[g], times[g])
        if len(repeated) == 0:
            continue
        out.append(np.median(repeated) if metric == "median"
                   else metric_value(metric, repeated).mean())
    return float(np.mean(out))


def rows_of(average, metric, r):
    rows = [mean_of(average, metric, r, np.ones(n_images))]
    for i in range(n_images):
        counts = np.ones(n_images)
        counts[i] = 0
        rows.append(mean_of(average, metric, r, counts))
    return np.array(rows + [mean_of(average, metric, r, c) for c in COUNTS[average]])


def interval(average, rows):
    value, without, boot = rows[0], rows[1:1 + n_images], rows[1 + n_images:]
    good = boot[np.isfinite(boot)]
    undefined = 1 - len(good) / len(boot)
    if len(good) == 0 or not np.isfinite(value):
        return [value, np.nan, np.nan, np.nan, np.nan, undefined]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(good, [tail, 1 - tail])
    slack = 1e-12 * (1 + abs(value))
    p = ((good < value - slack).sum() + (good <= value + slack).sum()) / (2 * len(good))
    z0, z = sps.norm.ppf(p), sps.norm.ppf(tail)
    cubes = squares = 0.0
    for s in STRATA[average]:
        n = len(s)
        u = (n - 1) * (without[s].mean() - without[s])
        cubes += (u ** 3).sum() / n ** 3
        squares += (u ** 2).sum() / n ** 2
    a = 0.0 if squares == 0 else cubes / (6 * squares ** 1.5)
    bca = [np.nan, np.nan]
    if np.isfinite(z0) and np.isfinite(a):
        ps = [sps.norm.cdf(z0 + (z0 + q) / (1 - a * (z0 + q))) for q in (z, -z)]
        bca = [np.quantile(good, x) for x in ps]
    return [value, low, high, bca[0], bca[1], undefined]


def design(average, metric, cells):
    s11, s01, s10, s00 = cells
    quantities = {
        "deficit": (s11 - s00, None), "d0": (s10 - s00, None), "d1": (s11 - s01, None),
        "I": (s01 + s10 - s00 - s11, None),
        "R": (s01 - s00, s11 - s00), "R_V": (s10 - s00, s11 - s00),
        "CI": (s10 - s00 - (s11 - s01), s10 - s00)}
    for name, (top, below) in quantities.items():
        if below is None:
            yield name, interval(average, top)
            continue
        with np.errstate(all="ignore"):
            rows = np.where((below * below[0] > 0) & (np.abs(below) >= 1e-12), top / below,
                            np.nan)
        out = interval(average, rows)
        _, low, high, *_ = interval(average, below)
        if low <= 1e-12 and high >= -1e-12 or (metric == "log_rank" and abs(below[0]) < DELTA):
            out = [np.nan] * 5 + [out[5]]
        yield name, out


# SciPy's own BCa on one plain mean, to check the formula itself (one stratum)
def check_bca():
    x = rng.exponential(size=30)
    res = sps.bootstrap((x,), np.mean, n_resamples=4000, method="BCa", vectorized=True,
                        rng=np.random.default_rng(1))
    global n_images, STRATA
    keep = n_images, STRATA
    n_images, STRATA = 30, {"micro": [list(range(30))]}
    rows = np.concatenate([[x.mean()], [(x.sum() - v) / 29 for v in x],
                           res.bootstrap_distribution])
    mine = interval("micro", rows)
    n_images, STRATA = keep
    assert np.allclose(mine[3:5], res.confidence_interval, rtol=1e-12), (mine, res)


check_bca()

lines = []


def put(kind, *rest):
    lines.append("\t".join([kind] + [x if isinstance(x, str) else
                                     "nan" if np.isnan(x) else repr(float(x)) for x in rest]))


for average in ("macro", "micro"):
    for metric in METRICS:
        for d in range(DEPTHS):
            cells = [rows_of(average, metric, ranks[c, d]) for c in range(4)]
            for c in range(4):
                put("cell", average, metric, str(d), CONDITIONS[c], *interval(average, cells[c]))
            for name, values in design(average, metric, cells):
                put("design", average, metric, str(d), name, *values)

# ---- dose curves of S, macro, last depth: clean, encoder_off, both_off at 0, 0.4, 1 and
# clean, decoder_off, both_off
CURVES = {"doses.enc": ([0, 0.4, 1], [0, 1, 3]), "doses.lm": ([0, 0.5, 1], [0, 2, 3])}
S = [rows_of("macro", "log_rank", ranks[c, DEPTHS - 1]) for c in range(4)]


def half_dose(dose, s):
    middle = (s[0] + s[-1]) / 2
    for i in range(1, len(s)):
        if (s[i - 1] - middle) * (s[i] - middle) <= 0 and s[0] != s[-1]:
            return float(np.interp(0, [middle - s[i - 1], middle - s[i]], [dose[i - 1], dose[i]])) \
                if s[i] < s[i - 1] else float(np.interp(0, [s[i - 1] - middle, s[i] - middle],
                                                        [dose[i - 1], dose[i]]))
    return np.nan


areas = {}
for name, (dose, conditions) in CURVES.items():
    curve = np.array([S[c] for c in conditions])
    areas[name] = np.trapezoid(curve, dose, axis=0) / (dose[-1] - dose[0])
    put("dose", name, "area", *interval("macro", areas[name]))
    put("dose", name, "half", *interval("macro", np.array([half_dose(dose, s) for s in curve.T])))
put("dose", "doses.enc", "gap", *interval("macro", areas["doses.enc"] - areas["doses.lm"]))

# ---- tests: image means of log2 rank, b minus a
def wilcoxon(x):
    """Exact up to 50 values (SciPy does ties exactly up to 13 only), else SciPy's normal."""
    kept = x[x != 0]
    if len(kept) > 50:
        return sps.wilcoxon(kept, correction=False, method="asymptotic").pvalue
    doubled = (2 * sps.rankdata(np.abs(kept))).astype(int)
    ways = np.array([1.0])
    for r in doubled:
        ways = np.convolve(ways, np.bincount([0, r]))
    w = doubled[kept > 0].sum()
    p = min(1.0, 2 * min(ways[:w + 1].sum(), ways[w:].sum()) / ways.sum())
    if len(kept) <= 13 or len(set(np.abs(kept))) == len(kept):
        assert np.isclose(p, sps.wilcoxon(kept, method="auto").pvalue, rtol=1e-9)
    return p


PAIRS = [(0, 1), (0, 2), (0, 3), (2, 3), (1, 3)]
n_parts = np.bincount(image, minlength=n_images)
flips = np.zeros((B, n_images))
for b in range(B):
    words = [w for i in range((n_images + 127) // 128) for w in philox([i, b, 2, 0], SEED)]
    for i in range(n_images):
        flips[b, i] = -1.0 if words[i // 32] >> (i % 32) & 1 else 1.0
p_flips = []
for a, b in PAIRS:
    x = np.zeros((n_images, DEPTHS))
    for d in range(DEPTHS):
        x[:, d] = np.bincount(image, np.log2(ranks[b, d]) - np.log2(ranks[a, d]),
                              n_images) / n_parts
    norm = np.sqrt((x ** 2).sum(0))
    scale = np.where(norm > 0, 1 / np.where(norm > 0, norm, 1), 0)
    z, zb = np.abs(x.sum(0)) * scale, np.abs(flips @ x) * scale
    tol = 1 - 1e-12
    p = (1 + (zb >= z * tol).sum(0)) / (B + 1)
    p_max = (1 + (zb.max(1)[:, None] >= z * tol).sum(0)) / (B + 1)
    critical = np.quantile(zb.max(1), LEVEL)
    last = x[:, -1]
    effects = []
    for c in COUNTS["micro"]:
        repeated = np.repeat(last, c.astype(int))
        effects.append(repeated.mean() / repeated.std(ddof=1))
    p_flips.append(p[-1])
    name = f"{CONDITIONS[a]}|{CONDITIONS[b]}"
    put("test", name, last.mean(), last.mean() / last.std(ddof=1), *np.quantile(effects, [.025, .975]),
        p[-1], wilcoxon(last))
    for k in (1, 5, 10, 100):
        hit_a, hit_b = ranks[a, -1] <= k, ranks[b, -1] <= k
        gained = np.bincount(image, hit_b & ~hit_a, n_images)
        lost = np.bincount(image, hit_a & ~hit_b, n_images)
        diff = (gained - lost) / n_parts
        chi2 = diff.sum() ** 2 / (diff ** 2).sum() if diff.any() else np.nan
        put("mcnemar", name, str(k), chi2, sps.chi2.sf(chi2, 1) if diff.any() else np.nan)
    for d in range(DEPTHS):
        put("band", name, str(d), x[:, d].mean(), critical * norm[d] / n_images, p_max[d])


def holm(p):
    order, out, floor = np.argsort(p), np.zeros(len(p)), 0.0
    for i, at in enumerate(order):
        floor = max(floor, min(1.0, (len(p) - i) * p[at]))
        out[at] = floor
    return out


for (a, b), p in zip(PAIRS, holm(np.array(p_flips))):
    put("holm", f"{CONDITIONS[a]}|{CONDITIONS[b]}", p)

# ---- Wilcoxon: exact, tied, with zeros, many
for name, x in {
    "exact": np.round(rng.normal(0.4, 1, 12), 6),
    "ties": np.array([1, 1, -1, 2, 3, 3, -4, 5, 5, 5.0]),
    "zeros": np.array([0, 0, 1.5, -2.5, 3.5, 4.5, 5.5, 0, -6.5]),
    "many": np.round(rng.normal(0.1, 1, 80), 6),
    "fifty": np.round(rng.normal(0.1, 1, 50), 6),
}.items():
    put("wilcoxon", name, wilcoxon(x), *x)

# ---- controls, strata, areas: means over some items, with the draws of all of them
ordinal = np.array([sum(1 for x in items[:i] if x[0] == items[i][0]) for i in range(len(items))])


def mean_rows(values, use):
    """Macro rows of the mean of values over the items in use."""
    out = []
    for counts in [np.ones(n_images)] + [1.0 - np.eye(n_images)[i] for i in range(n_images)] + \
            list(COUNTS["macro"]):
        w = counts[image] * use
        means = [np.average(values[category == k], weights=w[category == k])
                 for k in sorted(set(category)) if w[category == k].sum() > 0]
        out.append(np.mean(means) if means else np.nan)
    return np.array(out)


log_rank = metric_value("log_rank", ranks)
has = ordinal % 5 != 4
for c in range(4):
    part, draw = ranks[c, -1], [np.minimum(N, ranks[c, -1] + 3 * seed + ordinal % 4)
                                for seed in range(3)]
    for metric in METRICS[:-1]:
        control = np.mean([metric_value(metric, r) for r in draw], axis=0)
        put("control", CONDITIONS[c], metric, "score", *interval("macro", mean_rows(control, has)))
        put("control", CONDITIONS[c], metric, "gap", *interval(
            "macro", mean_rows(metric_value(metric, part) - control, has)))
    worse = np.mean([(r > part) + 0.5 * (r == part) for r in draw], axis=0)
    put("control", CONDITIONS[c], "percentile", "share", *interval("macro", mean_rows(worse, has)))
    for d in range(DEPTHS):
        control = np.mean([metric_value("log_rank", np.minimum(N, ranks[c, d] + 3 * seed + ordinal % 4))
                           for seed in range(3)], axis=0)
        put("curve", CONDITIONS[c], str(d), mean_rows(control, has)[0],
            mean_rows(log_rank[c, d], has)[0])

raster = ((image * 7 + ordinal * 3) % 10) / 10 + 0.05
for name, low, high in (("top", 0, 1 / 3), ("middle", 1 / 3, 2 / 3), ("bottom", 2 / 3, 1)):
    use = (raster >= low) & (raster < high)
    cells = [mean_rows(log_rank[c, -1], use) for c in range(4)]
    for c in range(4):
        put("stratum", name, CONDITIONS[c], "score", *interval("macro", cells[c]))
    for q, values in design("macro", "log_rank", cells):
        put("stratum", name, q, "design", *values)
for c in range(4):
    area = np.trapezoid(log_rank[c], axis=0) / (DEPTHS - 1)
    put("area", CONDITIONS[c], "", "", *interval("macro", mean_rows(area, np.ones(len(items)))))
r = np.arange(1, N + 1)
mass = np.diff(np.concatenate([[0], 1 - (1 - r / N) ** 2]))
put("uniform", "2", 1 - (mass * np.log2(r)).sum() / math.log2(N))

# ---- normal distribution
for p in (1e-300, 1e-20, 1e-6, 0.001, 0.02425, 0.3, 0.5, 0.77, 0.975, 0.999999):
    put("normal", p, sps.norm.ppf(p))
for z in (-30, -5, -1.3, 0, 0.2, 2.5, 6):
    put("cdf", float(z), sps.norm.cdf(z))

# ---- null: min of n uniform ranks among N
for n_total, n in ((10, 1), (10, 3), (2000, 1), (2000, 7), (2000, 60)):
    r = np.arange(1, n_total + 1)
    at_most = 1 - (1 - r / n_total) ** n
    mass = np.diff(np.concatenate([[0], at_most]))
    put("null", str(n_total), str(n), (mass * np.log2(r)).sum(), (mass * r).sum())

os.makedirs(OUT, exist_ok=True)
with open(f"{OUT}/ranks.tsv", "w") as f:
    for i, (im, obj, label) in enumerate(items):
        f.write("\t".join([str(im), obj, label] +
                          [f"{ranks[c, d, i]:g}" for c in range(4) for d in range(DEPTHS)]) + "\n")
with open(f"{OUT}/expected.tsv", "w") as f:
    f.write("\n".join(lines) + "\n")
print(len(items), "items,", len(lines), "expectations; strata", [len(s) for s in strata])
