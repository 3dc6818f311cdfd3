"""Losses exactly at their kinks: any slope between both sides passes, no other does."""

from __future__ import annotations

import numpy as np
import pytest

from gradparity import ops
from gradparity.comparisons.check.check import check
from gradparity.comparisons.explain.faults import ARRAY
from gradparity.comparisons.judge.judge import judge
from gradparity.comparisons.selftest.run import selftest
from gradparity.core import Case, Identity, Network, Node, backprop, layered

LOSSES = [ops.L1(), ops.HingeLoss(), ops.HingeEmbedding(1.0)]
