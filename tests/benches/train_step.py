"""The PyTorch side of `make bench-train-step`: MobileNetV2 1.0 with two 3x3 heads, 300x300 pictures, f32.

    train_step.py STEPS BATCH [channels-last] [cuda]

prints the milliseconds of each step as the Rust side (src/kernels/examples/train_step_bench.rs) does: forward,
backward, update by SGD with momentum; and the peak of the memory at the end.
"""

import resource
import sys
import time

import torch
from torch import nn


def layer(inputs, outputs, kernel, stride, groups, relu6):
    parts = [
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*parts, nn.ReLU6(inplace=True)) if relu6 else nn.Sequential(*parts)


class Block(nn.Module):
    def __init__(self, inputs, outputs, expansion, stride):
        super().__init__()
        hidden = inputs * expansion
        parts = [layer(inputs, hidden, 1, 1, 1, True)] if expansion != 1 else []
        parts += [layer(hidden, hidden, 3, stride, hidden, True), layer(hidden, outputs, 1, 1, 1, False)]
        self.layers = nn.Sequential(*parts)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.layers(x) if self.skip else self.layers(x)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = layer(3, 32, 3, 2, 1, True)
        blocks, depth = [], 32
        for expansion, outputs, count, stride in [
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
        ]:
            for nth in range(count):
                blocks.append(Block(depth, outputs, expansion, stride if nth == 0 else 1))
                depth = outputs
        self.blocks = nn.ModuleList(blocks)
        self.last = layer(depth, 1280, 1, 1, 1, True)
        self.near, self.far = nn.Conv2d(96, 66, 3, padding=1), nn.Conv2d(1280, 66, 3, padding=1)

    def forward(self, x):
        x = self.stem(x)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == 12:
                stride_16 = x
        return self.near(stride_16), self.far(self.last(x))


def main():
    steps, batch = int(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(0)
    device = "cuda" if "cuda" in sys.argv[3:] else "cpu"
    # f32 is f32: no shorter numbers inside a convolution.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    network = Network().train().to(device)
    images = torch.randn(batch, 3, 300, 300, device=device)
    if "channels-last" in sys.argv[3:]:
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    count = sum(p.numel() for p in network.parameters())
    print(f"{count} parameters, batch {batch}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    for step in range(steps):
        begin = time.perf_counter()
        near, far = network(images)
        loss = ((near - 1) ** 2).mean() + ((far - 1) ** 2).mean()
        value = loss.item()
        forward = time.perf_counter()
        optimizer.zero_grad()
        loss.backward()
        backward = time.perf_counter()
        optimizer.step()
        end = time.perf_counter()
        parts = [forward - begin, backward - forward, end - backward, end - begin]
        print("step %d loss %.4f forward %.1f backward %.1f update %.1f total %.1f ms"
              % (step, value, *(1e3 * part for part in parts)), flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


main()
