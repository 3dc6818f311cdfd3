import torch
from torch import nn

import gradparity as gp


class Swish(torch.autograd.Function):  # y = z * sigmoid(z), with a backward pass by hand
    @staticmethod
    def forward(ctx, z):
        s = torch.sigmoid(z)
        ctx.save_for_backward(z, s)
        return z * s

    @staticmethod
    def backward(ctx, dy):
        z, s = ctx.saved_tensors
        return dy * s  # the product rule has a second term: dy * z * s * (1 - s)


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x):
        return self.down(Swish.apply(self.up(x)))


torch.manual_seed(0)
model = MLP()
x, target = torch.randn(32, 8), torch.randint(4, (32,))

with gp.record() as step:
    nn.functional.cross_entropy(model(x), target).backward()

print(gp.check(step).diagnosis())
