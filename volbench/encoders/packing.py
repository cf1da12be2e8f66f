"""Old name of ``volbench.encoders.packed_slices``, for plugins written before it was renamed."""

from volbench.encoders.packed_slices import Maps, Packing, Slices, of_any_number, plan_packing

__all__ = ["Maps", "Packing", "Slices", "of_any_number", "plan_packing"]
