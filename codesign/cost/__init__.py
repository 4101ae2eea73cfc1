"""What a network costs in hardware, from its sizes, formats and weights alone: BOPs, EBOPs, bits, sparsity, LUTs."""

from codesign.cost.bops import bops, bops_of, constant_bits, ebops_of, layer_bops, layer_ebops
from codesign.cost.layer_shape import INPUT, LayerShape
from codesign.cost.luts import estimate_luts, luts_by_layer
from codesign.cost.table import LayerCost, layer_costs, sparsity, weight_bits_of

__all__ = [
    "INPUT",
    "LayerCost",
    "LayerShape",
    "bops",
    "bops_of",
    "constant_bits",
    "ebops_of",
    "estimate_luts",
    "layer_bops",
    "layer_costs",
    "layer_ebops",
    "luts_by_layer",
    "sparsity",
    "weight_bits_of",
]
