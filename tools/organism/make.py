"""The whole recipe in one command: python tools/organism/make.py --work DIR [--share share/organism] [--golden tests/golden/organism]

Draws the scenes, trains the tokenizer, the vision tower, both decoders, three projector seeds each, measures, and writes
both subjects (seed 0), the test scenes, the golden vectors, and the logs with all measured figures (tools/organism/logs). Data and training are skipped once their result exists in the work
directory and long ones resume from a checkpoint; at most two processes of one thread run at a time.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SEEDS = (0, 1, 2)
VARIANTS = ("blur", "exact")


def commands(chain, env):
    """Starts one chain of commands, each run only if the one before succeeded."""
    return subprocess.Popen([sys.executable, "-c", "import subprocess,sys,json\n"
                             "for c in json.loads(sys.argv[1]): subprocess.run(c, check=True)", json.dumps(chain)], env=env)


def both(left, right, env):
    procs = [commands(c, env) for c in (left, right) if c]
    if any([p.wait() for p in procs]):
        sys.exit("a stage failed; its message stands above, and the command resumes where it stopped")


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--work", required=True)
    a.add_argument("--share", default=os.path.join(ROOT, "share", "organism"))
    a.add_argument("--golden", default=os.path.join(ROOT, "tests", "golden", "organism"))
    args = a.parse_args()
    os.makedirs(args.work, exist_ok=True)
    env = dict(os.environ, OMP_NUM_THREADS="1")
    work = os.path.abspath(args.work)
    os.chdir(HERE)

    def py(script, *more):
        return [sys.executable, script, *more]

    def train(*more):
        return py("train.py", "--work", work, *more)

    def measure(*more):
        return py("eval.py", "--work", work, *more)
    both([py("data.py", work, "train.0", "val.0")], [py("data.py", work, "train.1", "test.0")], env)
    if not os.path.exists(os.path.join(work, "tokenizer.json")):
        both([py("tok.py", work)], [], env)
    both([train("clip"), train("solo"), train("features")], [train("text", "--variant", v) for v in VARIANTS], env)

    def stages(v):
        out = []
        for s in SEEDS:
            vs = ("--variant", v, "--seed", str(s))
            out += [train("projector", *vs), train("joint", *vs), measure("lens", *vs, "--scenes", "300")]
        return out + [measure("text", "--variant", v, "--scenes", "100"), measure("accuracy", "--variant", v)]
    both(stages("blur"), stages("exact"), env)
    both([measure("lens", "--random", "--scenes", "100")], [], env)
    both([measure("summary")], [], env)

    for v, subject in zip(VARIANTS, ("compensating", "non-compensating")):
        both([py("export.py", "--work", work, "--variant", v, "--out", os.path.join(args.share, subject), "--check")], [], env)
    both([py("ship.py", "--out", os.path.join(args.share, "scenes"))], [], env)
    both([py("golden.py", "--share", args.share, "--out", args.golden)], [], env)
    logs = os.path.join(HERE, "logs")
    os.makedirs(logs, exist_ok=True)
    for name in sorted(os.listdir(work)):
        if name.endswith((".log", ".json", ".txt")) and name != "tokenizer.json":
            shutil.copy(os.path.join(work, name), logs)


if __name__ == "__main__":
    main()
