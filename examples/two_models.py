import jax
import jax.numpy as jnp
import torch
from torch import nn

import gradparity as gp

jax.config.update("jax_enable_x64", True)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 4)).double()
x, target = torch.randn(32, 8).double(), torch.randint(4, (32,))


def original(model):
    return nn.functional.cross_entropy(model(x), target)


def port(params):
    h = x.numpy() @ params["0.weight"].T + params["0.bias"]
    h = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-6)
    h = jax.nn.gelu(h * params["1.weight"] + params["1.bias"])
    logits = h @ params["3.weight"].T + params["3.bias"]
    return -jax.nn.log_softmax(logits)[jnp.arange(32), target.numpy()].mean()


params = {name: jnp.asarray(w.detach().numpy()) for name, w in model.named_parameters()}
one = gp.record(original, model, name="original", keep=True)
other = gp.record(port, params, name="port", keep=True)
print(gp.align(one, other).diagnosis())
