"""Data: an immutable `Dataset`, and loaders for the digits, OpenML and files."""

from codesign.data.dataset import Dataset, Overlap
from codesign.data.load import dataset_from_arrays, load_dataset, load_design_data
from codesign.data.scaling import Scaling
from codesign.data.split import Split
from codesign.data.storage import read_dataset, save_dataset

__all__ = [
    "Dataset",
    "Overlap",
    "Scaling",
    "Split",
    "dataset_from_arrays",
    "load_dataset",
    "load_design_data",
    "read_dataset",
    "save_dataset",
]
