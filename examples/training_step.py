import torch
from torch import nn

import gradparity as gp

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(1568, 10)
)
images, labels = torch.randn(16, 3, 16, 16), torch.randint(10, (16,))

with gp.record() as step:  # a training step as it is
    nn.functional.cross_entropy(model(images), labels).backward()

print(gp.check(step))
