import numpy as np

import gradparity as gp
from gradparity.core import L2, Affine, ReLU

net = gp.layered([Affine(64, 32), ReLU()], L2())


def mine(case):  # your own backprop, in any style
    z1 = case.x @ case.params["W1"] + case.params["b1"]
    y1 = np.maximum(z1, 0)
    dy1 = (y1 - case.desired) / len(y1)
    dz1 = dy1 * (y1 >= 0)
    dW1 = case.x.T @ dz1
    return {"value z1": z1, "value y1": y1, "grad y1": dy1, "grad z1": dz1, "grad W1": dW1}


print(gp.check(net, mine).diagnosis())
