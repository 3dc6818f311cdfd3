"""Ops that programs are made of beside the layers that people write; see `gradparity.record`."""
