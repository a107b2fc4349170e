"""The onnxruntime side of `make bench-inference`: SSD MobileNet v1 0.75 at 300x300 with folded batch normalization.

    inference.py RUNS THREADS

The network of src/detection/examples/inference_bench.rs, written in PyTorch, exported to ONNX and run one picture at a time.
"""

import os
import sys
import tempfile
import time

import numpy
import onnxruntime
import torch
from torch import nn
from torch.nn import functional


class Same(nn.Module):
    """A convolution with TensorFlow's SAME padding, a bias, and ReLU6 where asked for."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, relu6=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)
        self.kernel, self.stride, self.relu6 = kernel, stride, relu6

    def forward(self, x):
        pads = []
        for size in (int(x.shape[3]), int(x.shape[2])):
            total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            pads += [total // 2, total - total // 2]
        x = self.conv(functional.pad(x, pads) if any(pads) else x)
        return functional.relu6(x) if self.relu6 else x


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        layers, taps, depth = [Same(3, 24, 3, 2)], [], 24
        for index, (out, stride) in enumerate(
            [(48, 1), (96, 2), (96, 1), (192, 2), (192, 1), (384, 2)] + [(384, 1)] * 5 + [(768, 2), (768, 1)]
        ):
            layers += [Same(depth, depth, 3, stride, depth), Same(depth, out)]
            depth = out
            if index in (10, 12):
                taps.append((len(layers) - 1, depth, 3 if index == 10 else 6))
        for out in (384, 192, 192, 96):
            layers += [Same(depth, out // 2), Same(out // 2, out, 3, 2)]
            depth = out
            taps.append((len(layers) - 1, depth, 6))
        self.layers, self.taps = nn.ModuleList(layers), [tap for tap, _, _ in taps]
        self.heads = nn.ModuleList(
            nn.ModuleList([Same(depth, 4 * anchors, relu6=False), Same(depth, 91 * anchors, relu6=False)])
            for _, depth, anchors in taps
        )

    def forward(self, x):
        results = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.taps:
                results += [head(x) for head in self.heads[self.taps.index(index)]]
        return results


def main():
    runs, threads = int(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.onnx")
        torch.onnx.export(Network().eval(), (torch.randn(1, 3, 300, 300),), path, input_names=["x"], dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    image = numpy.random.default_rng(0).standard_normal((1, 3, 300, 300), numpy.float32)
    times = []
    for _ in range(runs + 5):
        begin = time.perf_counter()
        session.run(None, {"x": image})
        times.append(1e3 * (time.perf_counter() - begin))
    times = sorted(times[5:])
    print(f"{runs} runs: median {times[runs // 2]:.2f} ms, best {times[0]:.2f} ms (onnxruntime {onnxruntime.__version__})")


main()
