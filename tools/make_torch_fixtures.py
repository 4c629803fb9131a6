#!/usr/bin/env python3
"""Makes the PyTorch checkpoints of tests/golden/torch, with torch as tools/requirements.txt
pins it.

    python3 tools/make_torch_fixtures.py tests/golden/torch

Not needed to build or test. Values are small whole numbers, so tests can state them.
"""
import argparse
import collections
import os
import sys
import zipfile

import torch


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)

    def save(name, value, **more):
        torch.save(value, os.path.join(directory, name), **more)

    def rows(dtype, *shape):
        n = 1
        for size in shape:
            n *= size
        return torch.arange(n).to(dtype).reshape(*shape)

    plain = collections.OrderedDict()
    plain["f32"] = rows(torch.float32, 2, 3)
    plain["f16"] = rows(torch.float16, 3)
    plain["bf16"] = rows(torch.bfloat16, 3)
    plain["f64"] = rows(torch.float64, 2)
    plain["i64"] = torch.tensor(-7)
    plain["bool"] = torch.tensor([True, False])
    plain["empty"] = torch.zeros(0, 5)
    save("plain.bin", plain)
    save("protocol4.bin", plain, pickle_protocol=4)

    # A module's state dictionary carries attributes; parameters have their own function.
    module = torch.nn.Linear(3, 2)
    with torch.no_grad():
        module.weight.copy_(rows(torch.float32, 2, 3))
        module.bias.copy_(rows(torch.float32, 2))
    save("module.bin", module.state_dict())
    save("parameter.bin", {"weight": module.weight})

    save("nested.bin", {
        "model": {"projector": collections.OrderedDict(w=rows(torch.float32, 2)),
                  3: rows(torch.float32, 1)},
        "epoch": 300, "large": -2**40, "rate": 0.1, "list": [1, "two", None],
        "done": True, "text": "words",
    })

    # One storage, seen whole, from its middle, and on its side.
    whole = rows(torch.float32, 3, 4)
    save("views.bin", {"whole": whole, "middle": whole[1:], "side": whole.t(),
                       "column": whole[:, 1]})

    # The same with compressed entries, as an ordinary zip program leaves it.
    with zipfile.ZipFile(os.path.join(directory, "plain.bin")) as source, \
            zipfile.ZipFile(os.path.join(directory, "deflated.bin"), "w",
                            zipfile.ZIP_DEFLATED) as copy:
        for entry in source.infolist():
            copy.writestr(zipfile.ZipInfo(entry.filename), source.read(entry),
                          zipfile.ZIP_DEFLATED)

    save("object.bin", {"arguments": argparse.Namespace(rate=0.1),
                        "w": rows(torch.float32, 2)})
    save("old.bin", {"w": rows(torch.float32, 2)}, _use_new_zipfile_serialization=False)


main()
