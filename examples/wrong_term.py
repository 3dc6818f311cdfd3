import torch
from torch import nn

import gradparity as gp


class Swish(torch.autograd.Function):  # y = z * sigmoid(z)
    @staticmethod
    def forward(ctx, z):
        s = torch.sigmoid(z)
        ctx.save_for_backward(z, s)
        return z * s

    @staticmethod
    def backward(ctx, dy):
        _, s = ctx.saved_tensors
        return dy * s  # the product rule has a second term, dy * z * s * (1 - s)


class Activation(nn.Module):
    def forward(self, z):
        return Swish.apply(z)


torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 16), Activation(), nn.Linear(16, 4))
x, target = torch.randn(32, 8), torch.randint(4, (32,))

with gp.record() as step:
    nn.functional.cross_entropy(model(x), target).backward()

print(gp.check(step).diagnosis())
